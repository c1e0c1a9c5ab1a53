//! EventBridge Scheduler keeps the schedules' contract.

use teal_aws_tests::harness::Account;
use teal_aws_tests::on_the_emulator;

teal_conformance::schedules_suite!(on_the_emulator!(Account));
