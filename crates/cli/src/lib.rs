//! The operator's command, as a library: a program that has code of its own for `--code` is this command, too ([`main_with`]). What it can
//! be asked for is listed by `Command`, and each has a file of its own in `commands`.

/// Prints lines for people, as `eprintln!` would, by [`show::print::say`].
macro_rules! say {
    ($($text:tt)*) => {
        $crate::show::print::say(&format!($($text)*))
    };
}

// From the top down: a module imports what stands below it, and nothing that stands above.
mod commands;

mod args;
mod drive;

mod show;

mod budget;
mod ending;
mod hint;
mod place;
mod typed;

use std::process::ExitCode;

use backfill_core::printable;
use backfill_core::text::one_line;
use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::commands::{
    completions, demo, examples, guard, help, init, item, rate, rejected, report, resume, run,
    runs, sandbox, simulate, start, status, steer, table, verify, watch,
};
use crate::ending::Ending;
use crate::show::print;

// Items, keys and requests are many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Changes every pending item of a live DynamoDB table, and proves that none is left.
#[derive(Parser)]
#[command(name = "backfill", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 succeeded, 1 failed, 2 bad usage or input (nothing was touched), \
    3 items remain, or a table or item is not as asked for, 4 paused or cancelled.\n\
    Logs: set RUST_LOG=info or RUST_LOG=debug."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask what is to be done, and write a spec file.
    #[command(after_help = examples::INIT)]
    Init(init::InitArgs),
    /// Say what a run would do, for how long, at what cost. Cannot write.
    #[command(after_help = examples::PLAN)]
    Plan(commands::plan::PlanArgs),
    /// Run a backfill in this process, against AWS or any other endpoint.
    #[command(after_help = examples::RUN)]
    Run(run::RunArgs),
    /// Count what is pending, by strongly consistent reads. Cannot write.
    #[command(after_help = examples::VERIFY)]
    Verify(verify::VerifyArgs),
    /// Repair what somebody writes in the old shape, from a table's stream.
    #[command(after_help = examples::GUARD)]
    Guard(guard::GuardArgs),
    /// Start the deployed state machine and follow it to the end.
    #[command(after_help = examples::START)]
    Start(start::StartArgs),
    /// List the runs of a checkpoint table; on a terminal, enter watches one.
    #[command(after_help = examples::RUNS)]
    Runs(runs::RunsArgs),
    /// Show a run, from its durable records alone.
    #[command(after_help = examples::STATUS)]
    Status(status::StatusArgs),
    /// Watch a run on the whole terminal, and steer it.
    #[command(after_help = examples::WATCH)]
    Watch(watch::WatchArgs),
    /// Change the budget, the alarm or the hours of a run while it runs.
    #[command(after_help = examples::RATE)]
    Rate(rate::RateArgs),
    /// Pause a run, wherever it runs: its workers save their checkpoints and end.
    #[command(after_help = examples::PAUSE)]
    Pause(args::OneRunArgs),
    /// Continue a paused or failed run from its checkpoints.
    #[command(after_help = examples::RESUME)]
    Resume(resume::ResumeArgs),
    /// Cancel a run for good, wherever it runs.
    #[command(after_help = examples::CANCEL)]
    Cancel(args::OneRunArgs),
    /// List the items that could not be updated, and try them again.
    #[command(after_help = examples::REJECTED)]
    Rejected(rejected::RejectedArgs),
    /// Write a report of a run, as HTML or Markdown, from its durable records.
    #[command(after_help = examples::REPORT)]
    Report(report::ReportArgs),
    /// Simulate a run in virtual time: duration, rate, bounds, cost.
    #[command(after_help = examples::SIMULATE)]
    Simulate(simulate::SimulateArgs),
    /// Migrate a table of made-up items in an embedded database, to see how it goes.
    #[command(after_help = examples::DEMO)]
    Demo(demo::DemoArgs),
    /// Serve the embedded database on 127.0.0.1, for this tool and any other.
    #[command(after_help = examples::SANDBOX)]
    Sandbox(sandbox::SandboxArgs),
    /// Create, fill, read, check and drop tables; in the sandbox unless told otherwise.
    #[command(after_help = examples::TABLE)]
    Table(table::TableArgs),
    /// Read and write single items; in the sandbox unless told otherwise.
    #[command(after_help = examples::ITEM)]
    Item(item::ItemArgs),
    /// Print completions for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::CompletionsArgs),
    /// Print the man page, or write one for each command.
    #[command(after_help = examples::MAN)]
    Man(help::ManArgs),
    /// Print the JSON schema of a spec file, a result or a plan.
    #[command(after_help = examples::SCHEMA)]
    Schema(help::SchemaArgs),
}

/// Our own warnings. Those of the libraries say in many lines what our errors say in one.
const DEFAULT_LOG: &str = "off,backfill_cli=warn,backfill_core=warn,backfill_dynamodb=warn";

/// The command line. A heading of clap's goes on to all flags behind it; here only those of a group stand under one.
fn command() -> clap::Command {
    fn headed(command: clap::Command) -> clap::Command {
        let is_grouped = |arg: &Arg| args::is_of_a_group(arg.get_id().as_str());
        command
            .mut_args(|arg| match is_grouped(&arg) {
                true => arg,
                false => arg.help_heading(None::<&str>),
            })
            .mut_subcommands(headed)
    }
    headed(Cli::command()).mut_subcommand("simulate", |simulate| {
        // What a simulation refuses is not offered by its help.
        simulate.mut_args(
            |arg| match simulate::REFUSED.contains(&arg.get_id().as_str()) {
                true => arg.hide(true),
                false => arg,
            },
        )
    })
}

/// The whole command: takes up the code that `register` registers, reads the arguments of this process, and does what they ask for.
/// Returns the exit code of the process.
///
/// ```no_run
/// use backfill_core::change::{Code, register};
///
/// fn command(code: impl Code) -> std::process::ExitCode {
///     backfill_cli::main_with(|| register(code))
/// }
/// ```
pub fn main_with(register: impl FnOnce() -> backfill_core::Result<()>) -> ExitCode {
    if let Err(error) = register() {
        return end(Err(error));
    }
    if let Some(asked) = completions::Asked::by_a_script() {
        return end(asked.answer(command()));
    }
    let parsed = command().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(other) => return answer(&other),
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG)),
        )
        .with_writer(|| print::Log)
        .with_ansi(print::is_terminal() && print::has_colour())
        .with_target(false)
        .init();
    // One thread carries far more requests than a table takes, and several would mostly wake each other. Demo and sandbox
    // have the database in the same process.
    let mut builder = match cli.command {
        Command::Demo(_) | Command::Sandbox(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say!("error: cannot start: {error}");
            print::finish();
            return Ending::Failed.into();
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Init(args) => init::init(&args),
            Command::Plan(args) => commands::plan::plan(args).await,
            Command::Run(args) => run::run(args).await,
            Command::Verify(args) => verify::verify(args).await,
            Command::Guard(args) => guard::guard(args).await,
            Command::Start(args) => start::start(args).await,
            Command::Runs(args) => runs::runs(args).await,
            Command::Status(args) => status::status(args).await,
            Command::Watch(args) => watch::watch(args).await,
            Command::Rate(args) => rate::rate(args).await,
            Command::Pause(args) => steer::pause(args).await,
            Command::Resume(args) => resume::resume(args).await,
            Command::Cancel(args) => steer::cancel(args).await,
            Command::Rejected(args) => rejected::rejected(args).await,
            Command::Report(args) => report::report(args).await,
            Command::Simulate(args) => simulate::simulate(args).await,
            Command::Demo(args) => demo::demo(args).await,
            Command::Sandbox(args) => sandbox::sandbox(args).await,
            Command::Table(args) => table::table(args).await,
            Command::Item(args) => item::item(args).await,
            Command::Completions(args) => completions::completions(&args),
            Command::Man(args) => help::man(&args, command()),
            Command::Schema(args) => help::schema(&args),
        }
    });
    // If items may have been touched, commands say so themselves and return their ending.
    end(result.and_then(|ending| print::unprinted().map_or(Ok(ending), Err)))
}

/// Prints what was asked for in place of a command, such as the help; or why the arguments are none.
fn answer(instead: &clap::Error) -> ExitCode {
    let text = instead.render().ansi().to_string();
    let ending = if instead.use_stderr() {
        match of_plain_arguments() {
            None => print::say_coloured(text.trim_end()),
            Some(Err(same)) => {
                print::say_coloured(same.render().ansi().to_string().trim_end());
            }
            Some(Ok(_)) => print::say(&printable(&instead.render().to_string())),
        }
        Ok(Ending::Refused)
    } else {
        print::coloured_line(text.trim_end()).map(|_| Ending::Succeeded)
    };
    end(ending)
}

/// What the arguments are if all that a terminal would obey is escaped in them: clap shows them as they are. `None` if there is
/// nothing of that kind.
fn of_plain_arguments() -> Option<Result<ArgMatches, clap::Error>> {
    let given: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let plain: Vec<_> = given.iter().map(|argument| one_line(argument)).collect();
    let is_plain = plain
        .iter()
        .zip(&given)
        .all(|(plain, given)| plain == given);
    (!is_plain)
        .then(|| command().try_get_matches_from(plain.iter().map(|argument| argument.as_ref())))
}

/// The exit code, after everything that was said is written.
fn end(result: backfill_core::Result<Ending>) -> ExitCode {
    let ending = result.unwrap_or_else(|error| {
        print::error(&error);
        Ending::before_writing(&error)
    });
    print::finish();
    ending.into()
}
