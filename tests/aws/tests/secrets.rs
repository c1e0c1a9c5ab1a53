//! Secrets Manager and SSM's parameters keep the secrets' contract.

use teal_aws_tests::on_the_emulator;

mod in_secrets_manager {
    use super::on_the_emulator;
    use teal_aws_tests::harness::InSecretsManager;

    teal_conformance::secrets_suite!(on_the_emulator!(InSecretsManager));
}

mod in_parameters {
    use super::on_the_emulator;
    use teal_aws_tests::harness::InParameters;

    teal_conformance::secrets_suite!(on_the_emulator!(InParameters));
}
