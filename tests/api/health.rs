//! `/health*`, `/api/health`: for load balancers, orchestrators and people.

use crate::support::Service;

#[tokio::test]
async fn a_running_service_is_live_ready_and_healthy() {
    let service = Service::start().await;
    let anyone = service.anonymous();
    for path in ["/health", "/health/live", "/health/ready"] {
        anyone.get(path).await.expect(200);
    }
}

#[tokio::test]
async fn api_health_names_each_dependency_with_its_latency() {
    let service = Service::start().await;
    let health = service.anonymous().get("/api/health").await.expect(200);
    let text = health.to_string();
    for name in ["mongodb", "nats"] {
        assert!(text.contains(name), "{name} is missing in {health}");
    }
    assert!(text.contains("atency"), "no latency in {health}");
    for secret in ["mongodb://", "nats://", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} leaks in {health}");
    }
}

#[tokio::test]
async fn a_health_check_costs_no_body_with_head() {
    let service = Service::start().await;
    let answer = super::wire::send(&service, "HEAD", "/health/live", &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn a_log_that_goes_to_a_file_has_no_colours() {
    let process = Service::builder().spawn().await;
    let log = process.log();
    assert!(log.contains("chat service is running"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}
