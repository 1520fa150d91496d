//! The program `malha`: see `malha --help`.

fn main() -> std::process::ExitCode {
    malha::cli::malha()
}
