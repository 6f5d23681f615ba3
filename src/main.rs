//! The binary; see [`atlas_integration_operator::cli`].

fn main() -> std::process::ExitCode {
    atlas_integration_operator::cli::main()
}
