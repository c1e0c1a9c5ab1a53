//! The entities on DynamoDB keep the entities' contract, and count against the base.

use teal_aws_tests::harness::Account;
use teal_aws_tests::on_the_emulator;

teal_conformance::entities_suite!(on_the_emulator!(Account));
teal_conformance::entities_base_suite!(on_the_emulator!(Account));
