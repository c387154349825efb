//! Clients.

use tower_bearer::token_service::{Client, ClientStore, SecretHash};

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
