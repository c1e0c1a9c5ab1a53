//! The ledger on DynamoDB keeps the ledger's contract.

use teal_aws_tests::harness::Account;
use teal_aws_tests::on_the_emulator;

teal_conformance::ledger_suite!(on_the_emulator!(Account));
