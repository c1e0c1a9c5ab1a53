//! The queues on SQS keep the queue's contract.

use teal_aws_tests::harness::Queues;
use teal_aws_tests::on_the_emulator;

teal_conformance::queue_suite!(on_the_emulator!(Queues));
