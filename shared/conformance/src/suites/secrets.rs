//! The secrets' contract: found by exact name, and seen by nobody.

use std::sync::Arc;

use async_trait::async_trait;
use teal::ports::Secrets;

#[async_trait]
pub trait SecretsHarness: Sync {
    /// A store that holds exactly these secrets, by name.
    async fn holding(&self, secrets: &[(&str, &str)]) -> Arc<dyn Secrets>;
}

#[macro_export]
macro_rules! secrets_suite {
    ($harness:expr) => {
        $crate::suite_tests!(
            secrets,
            $harness,
            [
                a_secret_is_found_by_its_exact_name,
                what_is_not_there_is_none_and_no_error,
                a_secret_does_not_show_itself,
            ]
        );
    };
}

pub async fn a_secret_is_found_by_its_exact_name(harness: &dyn SecretsHarness) {
    let secrets = harness.holding(&[("blue-api-key", "p4ss=w0rd #1"), ("blue-api", "other")]).await;
    assert_eq!(secrets.get("blue-api-key").await.unwrap().unwrap().expose(), "p4ss=w0rd #1");
    assert_eq!(secrets.get("blue-api").await.unwrap().unwrap().expose(), "other");
    assert_eq!(secrets.get("blue-api-key").await.unwrap().unwrap().expose(), "p4ss=w0rd #1", "asking changes nothing");
}

pub async fn what_is_not_there_is_none_and_no_error(harness: &dyn SecretsHarness) {
    let secrets = harness.holding(&[("blue-api-key", "x")]).await;
    for name in ["green-api-key", "blue", "blue-api-key2"] {
        assert!(secrets.get(name).await.unwrap().is_none(), "{name:?}");
    }
}

pub async fn a_secret_does_not_show_itself(harness: &dyn SecretsHarness) {
    let secrets = harness.holding(&[("blue-api-key", "hunter22")]).await;
    let found = secrets.get("blue-api-key").await.unwrap();
    assert!(!format!("{found:?}").contains("hunter22"));
}
