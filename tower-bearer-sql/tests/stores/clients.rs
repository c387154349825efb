//! Clients.

use std::time::Duration;

use tower_bearer::{
    Clock, SystemClock,
    token_service::{Client, ClientStore, ReplayStore, SecretHash},
};

use crate::{Lab, on_both};

async fn kept(lab: Lab) {
    let clients = lab.database.clients();
    let (_, hash) = SecretHash::generate().unwrap();
    let client = |id: &str, scope: &str| {
        Client::builder(id)
            .secret(hash.clone())
            .scope(scope)
            .build()
            .unwrap()
    };
    assert!(clients.find("svc").await.unwrap().is_none());
    for scope in ["read", "read write"] {
        let svc = client("svc", scope);
        clients.set(&svc).await.unwrap();
        let found = clients.find("svc").await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{svc:?}"));
    }
    for id in ["a", "it's", "z"] {
        clients.set(&client(id, "")).await.unwrap();
    }
    assert_eq!(clients.ids("", 2).await.unwrap(), ["a", "it's"]);
    assert_eq!(clients.ids("it's", 10).await.unwrap(), ["svc", "z"]);
    assert!(clients.remove("it's").await.unwrap());
    assert!(!clients.remove("it's").await.unwrap());
    for id in ["it's", "", "\0", "SVC", "svc "] {
        assert!(clients.find(id).await.unwrap().is_none(), "{id:?}");
    }
}
on_both!(clients_are_kept_changed_and_removed => super::kept);

/// Of any number of uses of a client assertion, by any number of processes, one is the first.
async fn used_once(lab: Lab) {
    let stores = [
        lab.database.client_assertions(),
        crate::open(&lab.url).client_assertions(),
    ];
    let end = SystemClock.now().saturating_add(Duration::from_secs(60));
    for id in ["a", "b"] {
        let mut uses = tokio::task::JoinSet::new();
        for number in 0..20 {
            uses.spawn(stores[number % 2].is_first_use(id, end));
        }
        let first = uses.join_all().await;
        let first = first.into_iter().filter(|first| *first.as_ref().unwrap());
        assert_eq!(first.count(), 1);
    }
}
on_both!(a_client_assertion_is_used_once => super::used_once);
