//! A backup of a system on DynamoDB and S3 makes an empty one again, from a bucket elsewhere; a damaged one makes
//! nothing.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::Bytes;
use serde_json::json;
use teal::domain::{Message, Mode, Outcome, Run};
use teal::pipeline::StageError;
use teal::pipeline::backup::Kind;
use teal::pipeline::poll::Budget;
use teal::ports::{BlobReader, Elsewhere};
use teal_aws::AwsClients;
use teal_aws::s3_blobs::{Buckets, S3Blobs};
use teal_aws_tests::world::{World, bundle};
use teal_stand_in::{Blue, BlueOptions, Event, Kind as Records};

async fn back_up(world: &World, kind: Kind) {
    let id = world.stages.backups.begin(kind).await.unwrap();
    let made = world.stages.backups.go_on(&Budget::default()).await.unwrap();
    assert_eq!((made.made, made.continues), (vec![id.unwrap()], false));
}

async fn restore(world: &World) -> Result<Run, StageError> {
    let (run, _) = world.stages.poll.start_restore(None, true, false, "ada".into()).await?;
    world.send(Message::Continue { run: run.clone() }).await;
    world.drain().await;
    Ok(world.runs().await.into_iter().find(|one| one.id == run).unwrap())
}

async fn overwrite(clients: &AwsClients, bucket: &str, key: &str, bytes: Bytes) {
    let put = clients.s3().put_object().bucket(bucket).key(key).body(ByteStream::from(bytes));
    put.send().await.unwrap();
}

#[tokio::test]
async fn a_system_is_made_again_from_the_bucket_of_another_region_and_goes_on() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let options = BlueOptions { talents: 40, boards: 5, media_tags: 7, ..BlueOptions::default() };
    let blue = Blue::start(options).await.unwrap();
    let account = emulator.new_account();
    let second = format!("eu-central-1/teal-second-{account}");
    let rules = format!("system: nowrep\nbackups: {{ full: rate(1 day), second: {second} }}\n");
    let bundle = bundle(&blue, &rules);
    let (region, bucket) = second.split_once('/').unwrap();

    let world = World::new(emulator, &account, "first", &bundle).await;
    let there = world.clients.in_region(region);
    let place =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build();
    there.s3().create_bucket().bucket(bucket).create_bucket_configuration(place).send().await.unwrap();
    assert_eq!(world.sync(Mode::Full).await.outcome, Some(Outcome::Complete));
    blue.delete(Records::Talents, &[3]);
    world.tell(&blue, Event::TalentDeleted, 3).await;
    back_up(&world, Kind::Full).await;
    blue.patch(Records::Talents, 2, &json!({ "profile": { "city": "Farport" }, "socials": [] }));
    let webhook = world.tell(&blue, Event::TalentUpdated, 2).await;
    back_up(&world, Kind::Increment).await;
    let before = world.export().await;

    let shelf = &world.stages.backups.shelf;
    let listed = shelf.list().await.unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|one| one.places == ["here", "second"]), "{listed:?}");
    for place in ["here/newest", "second/newest"] {
        let checked = shelf.verify(Some(place), 0, &Budget::default()).await.unwrap();
        assert_eq!((checked.backups, checked.next), (2, None), "{place}");
    }
    let copies = Buckets::new(world.clients.clone()).open(&second).await.unwrap();
    let keys = copies.list("", None, 1000).await.unwrap();
    let here = S3Blobs::new(world.clients.clone(), &world.bucket);
    assert_eq!(keys, here.list("backup/", None, 1000).await.unwrap());

    // Its own bucket and tables are empty.
    let other = World::new(emulator, &account, "other", &bundle).await;
    let nothing = other.export().await;
    for key in &keys {
        let good = copies.get(key).await.unwrap();
        let mut flipped = good.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for harm in [flipped.into(), good.slice(..good.len() - 1)] {
            overwrite(&there, bucket, key, harm).await;
            let refused = other.stages.backups.shelf.verify(None, 0, &Budget::default()).await.unwrap_err();
            assert!(refused.to_string().contains("can't be used"), "{key}: {refused}");
        }
        match restore(&other).await {
            Err(refused) => assert!(refused.to_string().contains("can't be used"), "{key}: {refused}"),
            Ok(run) => {
                let why = run.reason.unwrap_or_default();
                assert!(run.outcome == Some(Outcome::Failed) && why.contains("can't be used"), "{key}: {why}");
            }
        }
        assert_eq!(other.export().await, nothing, "{key}");
        overwrite(&there, bucket, key, good).await;
    }

    let requests = blue.counts().requests;
    let restored = restore(&other).await.unwrap();
    assert_eq!(restored.outcome, Some(Outcome::Complete), "{restored:?}");
    assert!(other.counts(&restored).await.add_up());
    assert_eq!(other.export().await, before, "the canonical export is the same");
    assert_eq!(blue.counts().requests, requests, "the source was asked for nothing");

    // A delivery comes again, and the source has changed since.
    assert_eq!(other.deliver(&webhook).await, 202);
    other.drain().await;
    assert_eq!(other.export().await, before, "a delivery that is in the backup changes nothing");
    blue.edit(Records::Talents, &[5, 6]);
    for system in [&world, &other] {
        let run = system.sync(Mode::Incremental).await;
        assert_eq!((run.mode, run.outcome), (Mode::Incremental, Some(Outcome::Complete)));
    }
    let after = other.export().await;
    assert!(after != before && after == world.export().await, "both go on from the same place");
}
