//! Local secrets keep the contract, whether they come from files or from the environment.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use teal::ports::Secrets;
use teal_conformance::suites::secrets::SecretsHarness;
use teal_local::secrets::LocalSecrets;

struct Files(tempfile::TempDir);

#[async_trait]
impl SecretsHarness for Files {
    async fn holding(&self, secrets: &[(&str, &str)]) -> Arc<dyn Secrets> {
        for (name, value) in secrets {
            write_private(&self.0.path().join(name), value);
        }
        Arc::new(LocalSecrets::with_environment(self.0.path(), |_| None))
    }
}

fn write_private(path: &Path, value: &str) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).unwrap().write_all(value.as_bytes()).unwrap();
}

struct Environment;

#[async_trait]
impl SecretsHarness for Environment {
    async fn holding(&self, secrets: &[(&str, &str)]) -> Arc<dyn Secrets> {
        let variable = |name: &str| format!("TEAL_SECRET_{}", name.to_uppercase().replace('-', "_"));
        let variables: BTreeMap<String, String> =
            secrets.iter().map(|(name, value)| (variable(name), (*value).to_owned())).collect();
        let nowhere = Path::new("no-such-directory");
        Arc::new(LocalSecrets::with_environment(nowhere, move |name| variables.get(name).cloned()))
    }
}

mod files {
    use super::Files;

    teal_conformance::secrets_suite!(Files(tempfile::tempdir().unwrap()));
}

mod environment {
    use super::Environment;

    teal_conformance::secrets_suite!(Environment);
}
