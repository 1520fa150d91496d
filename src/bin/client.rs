//! A smart-grid client, by the command line that its protocol is known for.

fn main() -> std::process::ExitCode {
    malha::cli::grid::client()
}
