//! Stderr, and whoever follows if `tee` is gone. In `backfill run … 2>&1 | tee log` ctrl-C ends `tee` at once, while the run stops at
//! its checkpoints and has more to say: from then on we write to where `tee` wrote.

use std::fs::{File, OpenOptions, read_dir, read_link, read_to_string};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `O_NOCTTY` of Linux: to open a terminal does not make it ours.
const NO_CONTROL: i32 = 0o400;

/// How long a `tee` may take until it reads our pipe, and how often we look for it.
const STARTED_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a `tee` may take to end by a signal that we had as well.
const ENDED_WITHIN: Duration = Duration::from_millis(300);

/// Writes to stderr and, if that is a pipe to a `tee` that is no more, to its files and its terminal.
pub struct Output {
    stderr: Box<dyn Write + Send>,
    /// The pipe, as `/proc` names it.
    pipe: Option<PathBuf>,
    heirs: Vec<File>,
    begin: Instant,
    last_look: Option<Instant>,
    is_gone: bool,
    /// Whether somebody wants this process to end.
    is_stopping: fn() -> bool,
    has_waited: bool,
}

impl Output {
    /// `is_stopping` says whether somebody wants this process to end, and with it perhaps `tee`.
    pub fn new(stderr: Box<dyn Write + Send>, is_stopping: fn() -> bool) -> Output {
        let target = read_link("/proc/self/fd/2").ok();
        Output {
            stderr,
            pipe: target.filter(|target| target.to_string_lossy().starts_with("pipe:")),
            heirs: Vec::new(),
            begin: Instant::now(),
            last_look: None,
            is_gone: false,
            is_stopping,
            has_waited: false,
        }
    }

    /// Looks for `tee` if it may be there: a shell starts it with us, or a moment later.
    fn look(&mut self) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let is_early = self.begin.elapsed() < STARTED_WITHIN;
        let is_due = self.last_look.is_none_or(|at| at.elapsed() > LOOK_EVERY);
        if self.heirs.is_empty() && is_early && is_due {
            self.last_look = Some(Instant::now());
            self.heirs = files_behind(pipe);
        }
    }

    fn write_to_heirs(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heirs.retain_mut(|heir| match heir.write_all(bytes) {
            Ok(()) => true,
            Err(error) => error.kind() == ErrorKind::StorageFull,
        });
        match self.heirs.is_empty() {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => Ok(bytes.len()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_gone {
            return self.write_to_heirs(bytes);
        }
        self.look();
        if !self.heirs.is_empty() && !self.has_waited && (self.is_stopping)() {
            // What a pipe has taken is lost if nobody reads it any more: the signal has its time to end `tee`.
            self.has_waited = true;
            std::thread::sleep(ENDED_WITHIN);
        }
        match self.stderr.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_gone = true;
                self.write_to_heirs(bytes)
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the `tee` writes that reads this pipe: files and terminals. Nothing if it is another program, of another user, or none.
fn files_behind(pipe: &Path) -> Vec<File> {
    let processes = read_dir("/proc").into_iter().flatten().flatten();
    let tee = processes.map(|process| process.path()).find(|process| {
        read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "tee")
            && read_link(process.join("fd/0")).is_ok_and(|stdin| stdin == pipe)
    });
    let Some(tee) = tee else {
        return Vec::new();
    };
    let open = read_dir(tee.join("fd")).into_iter().flatten().flatten();
    let is_output = |name: &std::ffi::OsStr| name != "0" && name != "2";
    open.filter(|file| is_output(&file.file_name()))
        .filter_map(|file| at_the_end(&file.path()))
        .collect()
}

/// A file or a terminal to go on behind what stands there. None for what is only read, and for pipes: another program reads them.
fn at_the_end(path: &Path) -> Option<File> {
    let kind = path.metadata().ok()?.file_type();
    let info = path
        .parent()?
        .parent()?
        .join("fdinfo")
        .join(path.file_name()?);
    let info = read_to_string(info).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let is_read_only = i32::from_str_radix(flags.trim(), 8).ok()? & 0o3 == 0;
    if is_read_only || !(kind.is_file() || kind.is_char_device()) {
        return None;
    }
    let mut options = OpenOptions::new();
    options
        .append(true)
        .custom_flags(NO_CONTROL)
        .open(path)
        .ok()
}
