//! Several issuers in one verifier, each with keys from elsewhere.

use tower_bearer::TrustedIssuer;

use super::*;

/// An issuer with its own source.
struct Tenant {
    name: String,
    audience: String,
    signer: Issuer,
    source: Source,
}

impl Tenant {
    /// All of them call their key by the same id.
    fn new(name: &str) -> Self {
        let name = format!("https://{name}.example.com");
        let signer = Issuer::new(&name, Algorithm::EdDSA)
            .unwrap()
            .with_key_id("1");
        Self {
            audience: format!("urn:api:{name}"),
            source: Source::of(&[&signer]),
            name,
            signer,
        }
    }

    fn trusted(&self) -> TrustedIssuer {
        TrustedIssuer::new(&self.name)
            .audience(&self.audience)
            .remote_keys(self.source.keys().build().unwrap())
    }

    fn token(&self) -> String {
        self.token_of(&self.name, &self.audience)
    }

    /// Signed by this one's key, whoever it says it is of.
    fn token_of(&self, issuer: &str, audience: &str) -> String {
        let mut claims = claims();
        claims["iss"] = issuer.into();
        claims["aud"] = audience.into();
        self.signer.token(&claims).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_one_never_verifies_a_token_of_another() {
    let tenants = ["a", "b", "c"].map(Tenant::new);
    let mut builder = builder();
    for tenant in &tenants {
        builder = builder.trust(tenant.trusted());
    }
    let verifier: JwtVerifier = builder.build().unwrap();
    for (n, tenant) in tenants.iter().enumerate() {
        assert_eq!(ask(&verifier, &tenant.token()).await, Said::In);
        let counts: Vec<_> = tenants.iter().map(|tenant| tenant.source.count()).collect();
        let expected: Vec<_> = (0..3).map(|other| usize::from(other <= n)).collect();
        assert_eq!(counts, expected, "only its own keys are fetched");
    }
    // Twice, for the headers are known then.
    for _ in 0..2 {
        for tenant in &tenants {
            assert_eq!(at_once(&verifier, &tenant.token()), Said::In);
            for other in tenants.iter().filter(|other| other.name != tenant.name) {
                let forged = tenant.token_of(&other.name, &other.audience);
                assert_eq!(at_once(&verifier, &forged), BAD_SIGNATURE);
                let elsewhere = tenant.token_of(&tenant.name, &other.audience);
                let said = at_once(&verifier, &elsewhere);
                assert_eq!(said, Said::Refused(reason::AUDIENCE_MISMATCH));
            }
        }
    }
}

/// Attack 17, with keys from the network: nobody is asked who is not trusted.
#[tokio::test(start_paused = true)]
async fn attack_17_an_unknown_issuer_is_refused_without_a_fetch() {
    let tenants = ["a", "b"].map(Tenant::new);
    let builder = builder().trust(tenants[0].trusted());
    let verifier: JwtVerifier = builder.trust(tenants[1].trusted()).build().unwrap();
    let [known, _] = &tenants;
    let unknown = Tenant::new("unknown");
    let mut nobody = claims();
    nobody["iss"] = Value::Null;
    for (of, token) in [
        ("unknown", unknown.token()),
        (
            "its own slash",
            unknown.token_of(&format!("{}/", known.name), &known.audience),
        ),
        (
            "in part",
            unknown.token_of(&known.name[..known.name.len() - 1], &known.audience),
        ),
        ("nothing", unknown.token_of("", &known.audience)),
    ] {
        let said = at_once(&verifier, &token);
        assert_eq!(said, Said::Refused(reason::ISSUER_MISMATCH), "{of}");
    }
    let said = at_once(&verifier, &unknown.signer.token(&nobody).unwrap());
    assert!(matches!(said, Said::Refused(_)), "{said:?}");
    seconds(60).await;
    for tenant in [&tenants[0], &tenants[1], &unknown] {
        assert_eq!(tenant.source.count(), 0);
    }
}

/// One that is down is its own misfortune.
#[tokio::test(start_paused = true)]
async fn attack_31_an_outage_of_one_is_none_of_the_others() {
    let (up, down) = (Tenant::new("up"), Tenant::new("down"));
    down.source.now(Does::Hangs);
    let builder = builder().trust(up.trusted());
    let verifier: JwtVerifier = builder.trust(down.trusted()).build().unwrap();
    assert_eq!(ask(&verifier, &up.token()).await, Said::In);
    let waiting = waits(&verifier, &down.token());
    assert_eq!(at_once(&verifier, &up.token()), Said::In);
    assert!(Said::of(waiting.await).is_unavailable());
    assert_eq!(at_once(&verifier, &up.token()), Said::In);
    assert_eq!(at_once(&verifier, &down.token()), Said::Unavailable(1));
}

#[tokio::test(start_paused = true)]
async fn they_come_and_go_at_run_time() {
    let (first, later) = (Tenant::new("first"), Tenant::new("later"));
    let verifier: JwtVerifier = builder().trust(first.trusted()).build().unwrap();
    let cached = tower_bearer::Cached::builder(verifier.clone())
        .clock(clock())
        .build()
        .unwrap();
    // Whichever of its claims is read first.
    let not_trusted = |said: Said| {
        let reasons = [reason::ISSUER_MISMATCH, reason::AUDIENCE_MISMATCH];
        assert!(reasons.map(Said::Refused).contains(&said), "{said:?}");
    };
    assert_eq!(ask(&cached, &first.token()).await, Said::In);
    not_trusted(ask(&cached, &later.token()).await);

    verifier.trust(later.trusted()).unwrap();
    assert_eq!(ask(&cached, &later.token()).await, Said::In);
    assert_eq!(at_once(&cached, &first.token()), Said::In);

    assert!(verifier.distrust(&later.name));
    assert!(!verifier.distrust(&later.name));
    not_trusted(at_once(&cached, &later.token()));
    assert_eq!(at_once(&cached, &first.token()), Said::In);

    // In place of itself, with other keys: what rested on the former ones has ended.
    let mut replaced = Tenant::new("first");
    replaced.audience.clone_from(&first.audience);
    verifier.trust(replaced.trusted()).unwrap();
    assert_eq!(ask(&cached, &first.token()).await, BAD_SIGNATURE);
    assert_eq!(ask(&cached, &replaced.token()).await, Said::In);
    assert_eq!(first.source.count(), 1);

    // None is left, and nothing is let in.
    assert!(verifier.distrust(&first.name));
    not_trusted(at_once(&cached, &replaced.token()));
}

/// A token waits for the keys of an issuer that is distrusted meanwhile.
#[tokio::test(start_paused = true)]
async fn who_waits_for_an_issuer_that_goes_is_refused() {
    let tenant = Tenant::new("a");
    let keys = set(&[&tenant.signer]);
    tenant
        .source
        .now(Does::GivesAfter(Duration::from_secs(1), keys));
    let verifier: JwtVerifier = builder().trust(tenant.trusted()).build().unwrap();
    let waiting = waits(&verifier, &tenant.token());
    assert!(verifier.distrust(&tenant.name));
    let said = Said::of(waiting.await);
    assert_eq!(said, Said::Refused(reason::ISSUER_MISMATCH));
}
