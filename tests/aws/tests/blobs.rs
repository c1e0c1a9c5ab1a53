//! Blobs on S3 keep the blobs' contract.

use teal_aws_tests::harness::Account;
use teal_aws_tests::on_the_emulator;

teal_conformance::blobs_suite!(on_the_emulator!(Account));
