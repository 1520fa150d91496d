//! The command line of the tasks.

use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Tasks {
    /// What a peer starts to run a script; of no use to people
    #[command(hide = true)]
    Confined(ConfinedArgs),
}

impl Tasks {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Tasks::Confined(args) => crate::tasks::sandbox::confined(&args.args),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ConfinedArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}
