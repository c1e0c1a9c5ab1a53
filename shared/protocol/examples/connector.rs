use clap::Parser;
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: teal_protocol::Command,
}
fn main() -> std::process::ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(teal_protocol::run(Cli::parse().command, Default::default(), std::io::stdout().lock())).into()
}
