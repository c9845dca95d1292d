//! The report of a run that goes on, as a page of this machine that follows it. Reads the durable records and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backfill_core::records::RunStatus;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Looker, Snapshot};
use backfill_core::{Error, ErrorKind, Result};
use backfill_dynamodb::{CheckpointTable, Connection};
use backfill_loopback::{
    Body, Bytes, Limits, Method, Refusal, Request, Response, Server, Service, StatusCode, header,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::drive::watch::{poll_every, until_next};
use crate::drive::{records, signals};
use crate::ending::Ending;
use crate::hint;
use crate::show::meter::Meter;
use crate::show::report::Report;
use crate::show::report::html::{FOLLOWING_SCRIPT, FOLLOWING_STYLE, Following, render_following};
use crate::show::{print, progress, words};

/// How long a page waits for something new before it is answered with what it has.
const WAIT: Duration = Duration::from_secs(25);

/// How long after its last question a page counts as open.
const OPEN: Duration = Duration::from_secs(3);

/// How often the run is looked at while no page is open, to see whether it has ended.
const GLANCE: Duration = Duration::from_secs(5);

/// How long the last state waits for a page to have it.
const FAREWELL: Duration = Duration::from_secs(60);

/// What a page may load: what lies beside it, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The run to follow, and by what it is priced.
pub struct Followed {
    pub connection: Connection,
    pub checkpoints: CheckpointTable,
    pub run_id: String,
    pub prices: Prices,
}

/// Serves the page on this port of 127.0.0.1 (0 takes a free one) until the run has ended and the pages that are open have its
/// last state, or until a signal. It ends as the run did.
///
/// Errors: those of the first reading; later ones stand on the page.
pub async fn follow(followed: Followed, port: u16) -> Result<Ending> {
    let stop = signals::stop_on_signal("stopped following");
    let server = Server::listen(port).await?.limit(Limits {
        body: 0,
        connections: 100,
        ..Limits::default()
    });
    let mut reader = Reader::new(followed);
    let first = reader.read().await?;
    let desk = Arc::new(Desk {
        path: format!("/{}/", secret()?),
        shown: watch::Sender::new(first),
        visits: Mutex::default(),
    });
    let run_id = reader.of.run_id.clone();
    let url = format!("{}{}", server.url(), desk.path);
    print::line(&format!("report of run {run_id}: {url}"))?;
    say!("the page follows the run; nothing but this machine can open it; ctrl-C ends it");
    let ending = tokio::select! {
        never = server.serve(Pages(desk.clone())) => match never {},
        ending = desk.keep_fresh(&mut reader) => ending,
        () = stop.cancelled() => return Ok(Ending::Stopped),
    };
    let typed = hint::on_run("report", &run_id, reader.of.checkpoints.name());
    match desk.visits().has_last {
        true => say!("run {run_id} has ended; the page has its last state; as a file: {typed}"),
        false => say!("run {run_id} has ended; no page was open; as a file: {typed}"),
    }
    Ok(ending)
}

/// 128 bits that nobody can guess, as letters and digits: others on this machine reach the port, too.
fn secret() -> Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| {
        Error::new(ErrorKind::Internal, "the system gives no random numbers").with_source(error)
    })?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What reads the run, again and again.
struct Reader {
    of: Followed,
    begin: Instant,
    meter: Meter,
    looker: Looker,
    states: u64,
}

impl Reader {
    fn new(of: Followed) -> Reader {
        Reader {
            of,
            begin: Instant::now(),
            meter: Meter::default(),
            looker: Looker::default(),
            states: 0,
        }
    }

    /// The run as its records have it now.
    async fn read(&mut self) -> Result<Shown> {
        let of = &self.of;
        let snapshot = records::snapshot_again(
            &mut self.looker,
            &of.run_id,
            &of.checkpoints,
            &of.connection,
        )
        .await?;
        self.meter.note(self.begin.elapsed(), &snapshot);
        let ending = (snapshot.run.status != RunStatus::Running).then(|| Ending::of(&snapshot));
        let (words, part) = self.standing(&snapshot);
        let report = records::report_of(snapshot, &of.checkpoints, of.prices.clone()).await?;
        self.states += 1;
        let following = Following {
            state: self.states,
            has_ended: ending.is_some(),
            words,
            trouble: None,
            part,
        };
        Shown::new(report, following, ending)
    }

    /// How the run stands, in a sentence, and the part of its pass that is done.
    fn standing(&self, snapshot: &Snapshot) -> (String, Option<f64>) {
        if snapshot.run.status != RunStatus::Running {
            let how = snapshot.run.status.name();
            let words = format!("The run has ended: {how}. This page stays as it is now.");
            return (words, None);
        }
        let measured = self.meter.measured();
        let sentence = progress::sentence(snapshot, measured.as_ref());
        let words = format!("Follows the run. {sentence}.");
        (words, Some(progress::part(snapshot)))
    }

    /// Waits as long as the records should not be read again, given how long that took last.
    async fn pause(&self, took: Duration) {
        sleep(until_next(poll_every(&self.of.connection), took)).await;
    }

    /// Whether the run has ended, by one read.
    async fn has_ended(&self) -> bool {
        let of = &self.of;
        let record = records::record(&of.run_id, &of.checkpoints, &of.connection).await;
        record.is_ok_and(|record| record.status != RunStatus::Running)
    }
}

/// What pages show at present.
struct Shown {
    report: Report,
    following: Following,
    /// How the run has ended, if it has.
    ending: Option<Ending>,
    html: Bytes,
}

impl Shown {
    fn new(report: Report, following: Following, ending: Option<Ending>) -> Result<Shown> {
        let html = render_following(&report, &following)?.into();
        Ok(Shown {
            report,
            following,
            ending,
            html,
        })
    }
}

/// Who has asked for the page.
#[derive(Debug, Default)]
struct Visits {
    /// Pages that wait for something new.
    waiting: usize,
    last: Option<Instant>,
    /// Whether one was given the last state of a run that has ended.
    has_last: bool,
}

impl Visits {
    fn is_anybody_there(&self) -> bool {
        self.waiting > 0 || self.last.is_some_and(|last| last.elapsed() < OPEN)
    }
}

/// What the pages and the reader share.
struct Desk {
    /// Where the page lies, with a slash at both ends.
    path: String,
    shown: watch::Sender<Shown>,
    visits: Mutex<Visits>,
}

impl Desk {
    fn visits(&self) -> MutexGuard<'_, Visits> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the run as long as it goes on and a page is open, then waits until the pages have its last state.
    async fn keep_fresh(&self, reader: &mut Reader) -> Ending {
        let mut took = Duration::ZERO;
        let ending = loop {
            if let Some(ending) = self.shown.borrow().ending {
                break ending;
            }
            reader.pause(took).await;
            while !self.visits().is_anybody_there() && !reader.has_ended().await {
                sleep_until_visited(self).await;
            }
            let begin = Instant::now();
            match reader.read().await {
                Ok(shown) => drop(self.shown.send_replace(shown)),
                Err(error) => self.tell(reader, &error),
            }
            took = begin.elapsed();
        };
        let end = Instant::now();
        loop {
            {
                let visits = self.visits();
                if end.elapsed() > FAREWELL || (visits.has_last && !visits.is_anybody_there()) {
                    return ending;
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Says on the pages that the records could not be read; the report stays as it was.
    fn tell(&self, reader: &mut Reader, error: &Error) {
        reader.states += 1;
        let state = reader.states;
        self.shown.send_modify(|shown| {
            shown.following.state = state;
            shown.following.trouble = Some(format!(
                "The records of the run could not be read: {}. What is shown is of {}; they are tried again.",
                print::report(error),
                words::time(shown.report.made_ms)
            ));
            // It could be drawn before; if not, the page stays as it was.
            if let Ok(html) = render_following(&shown.report, &shown.following) {
                shown.html = html.into();
            }
        });
    }

    /// What is shown once it is another state than this one, or the same after a while.
    async fn state_after(&self, after: u64) -> Response<Body> {
        let mut shown = self.shown.subscribe();
        let visit = Visit::begin(self);
        let is_new = |shown: &Shown| shown.following.state != after || shown.ending.is_some();
        let _ = timeout(WAIT, shown.wait_for(is_new)).await;
        drop(visit);
        self.page()
    }

    fn page(&self) -> Response<Body> {
        let shown = self.shown.borrow();
        let mut visits = self.visits();
        visits.last = Some(Instant::now());
        visits.has_last |= shown.ending.is_some();
        text(
            StatusCode::OK,
            "text/html; charset=utf-8",
            shown.html.clone(),
        )
    }
}

/// Waits until a page is opened, or until it is time for a glance at the run.
async fn sleep_until_visited(desk: &Desk) {
    let begin = Instant::now();
    while begin.elapsed() < GLANCE && !desk.visits().is_anybody_there() {
        sleep(Duration::from_millis(200)).await;
    }
}

/// A page that waits, until this is dropped: also if its connection is gone.
struct Visit<'a>(&'a Desk);

impl Visit<'_> {
    fn begin(desk: &Desk) -> Visit<'_> {
        desk.visits().waiting += 1;
        Visit(desk)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.visits().waiting -= 1;
    }
}

/// The desk as what answers requests.
struct Pages(Arc<Desk>);

impl Service for Pages {
    async fn answer(&self, request: Request<Bytes>) -> Response<Body> {
        let uri = request.uri();
        let found = uri.path().strip_prefix(&self.0.path);
        let Some(name) = found.filter(|_| request.method() == Method::GET) else {
            return plain(StatusCode::NOT_FOUND, "There is nothing here.\n".into());
        };
        match name {
            "" => self.0.page(),
            "state" => {
                let after = uri.query().and_then(|query| query.strip_prefix("after="));
                let after = after.and_then(|after| after.parse().ok());
                self.0.state_after(after.unwrap_or_default()).await
            }
            "style.css" => text(
                StatusCode::OK,
                "text/css; charset=utf-8",
                FOLLOWING_STYLE.into(),
            ),
            "follow.js" => text(
                StatusCode::OK,
                "text/javascript; charset=utf-8",
                FOLLOWING_SCRIPT.into(),
            ),
            _ => plain(StatusCode::NOT_FOUND, "There is nothing here.\n".into()),
        }
    }

    fn refuse(&self, why: &Refusal) -> Response<Body> {
        let advice = "open the address that backfill report --follow has printed, on this machine";
        plain(StatusCode::FORBIDDEN, format!("{why}; {advice}\n"))
    }
}

fn plain(status: StatusCode, words: String) -> Response<Body> {
    text(status, "text/plain; charset=utf-8", words.into())
}

/// An answer that no other page may show or load, and that nothing keeps.
fn text(status: StatusCode, format: &'static str, body: Bytes) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, format)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header("cross-origin-opener-policy", "same-origin")
        .header("cross-origin-resource-policy", "same-origin")
        .body(Body::new(body));
    // Fails for a header that is none; these are.
    response.unwrap_or_default()
}
