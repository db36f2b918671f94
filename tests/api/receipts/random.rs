//! Random operations: the counts equal those of a model, over every way to query them.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{badge, counts_everywhere, id, read, read_all, send, unread};
use crate::support::{Service, random_seed};

struct Sent {
    message: Value,
    seq: u64,
    sender: usize,
    counts: bool,
    mentions: Vec<usize>,
    is_deleted: bool,
}

#[tokio::test]
async fn counts_equal_a_model_after_random_operations() {
    let seed = random_seed();
    let mut random = StdRng::seed_from_u64(seed);
    let service = Service::start().await;
    let users = [
        service.user("alice").await,
        service.user("bob").await,
        service.user("carol").await,
    ];
    let group = service.group(&users[0], &[&users[1], &users[2]]).await;
    let mut devices = Vec::new();
    for user in &users {
        devices.push(user.connect().await);
    }
    let mut watermarks = [0_u64; 3];
    let mut sent: Vec<Sent> = Vec::new();
    for round in 0..200 {
        let who = random.random_range(0..3);
        let one = sent
            .choose(&mut random)
            .map(|one| (one.seq, one.message.clone()));
        match (random.random_range(0..10), one) {
            (0..=4, _) | (_, None) => {
                let mentions: Vec<usize> = (0..3).filter(|_| random.random_bool(0.2)).collect();
                let silent = random.random_bool(0.1);
                let names: Vec<&str> = mentions.iter().map(|n| users[*n].id.as_str()).collect();
                let body = json!({ "content": "x", "silent": silent, "mentions": names });
                let message = send(&users[who], &group, body).await;
                sent.push(Sent {
                    seq: message["seq"].as_u64().expect("a number"),
                    message,
                    sender: who,
                    counts: !silent,
                    mentions,
                    is_deleted: false,
                });
            }
            (5, Some((seq, message))) => {
                // The owner may delete anything, and bring it back.
                let found = sent.iter_mut().find(|one| one.seq == seq);
                let found = found.expect("was sent");
                let path = format!("/api/messages/{}", id(&message));
                if found.is_deleted {
                    let path = format!("{path}/restore");
                    users[0].post(&path, json!({})).await.expect(200);
                } else {
                    users[0].delete(&path).await.expect(204);
                }
                found.is_deleted = !found.is_deleted;
            }
            (6, Some((seq, message))) => {
                unread(&users[who], &message).await;
                watermarks[who] = watermarks[who].min(seq - 1);
            }
            (7, _) => {
                let before = model(&sent, &watermarks, who).0;
                let count = read_all(&users[who], &group, json!({})).await;
                assert_eq!(count, before, "seed {seed}, round {round}");
                let last = sent.last().expect("there is one").seq;
                watermarks[who] = watermarks[who].max(last);
            }
            (_, Some((seq, message))) => {
                let at = read(&users[who], &message).await;
                let has_moved = watermarks[who] < seq;
                watermarks[who] = watermarks[who].max(seq);
                if has_moved {
                    let told = badge(&mut devices[who], &message, &at).await;
                    let expected = model(&sent, &watermarks, who);
                    assert_eq!(told, expected, "seed {seed}, round {round}");
                }
            }
        }
        let who = random.random_range(0..3);
        let found = counts_everywhere(&users[who], &group).await;
        assert_eq!(
            found,
            model(&sent, &watermarks, who),
            "seed {seed}, round {round}"
        );
    }
}

fn model(sent: &[Sent], watermarks: &[u64; 3], who: usize) -> (u64, u64) {
    let unread = sent.iter().filter(|one| {
        one.seq > watermarks[who] && one.counts && !one.is_deleted && one.sender != who
    });
    let mentions = unread.clone().filter(|one| one.mentions.contains(&who));
    (unread.count() as u64, mentions.count() as u64)
}
