//! What a real API server says to clients that make mistakes, where no record of one exists: the codes and
//! words of k8s.io/apiserver, k8s.io/apimachinery and Go's encoding/json.

use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, MAPS, PODS, TestServer, config_map, pod, read};

const MAP: &str = "/api/v1/namespaces/default/configmaps/m";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

#[track_caller]
fn says(answer: Answer, code: u16, reason: &str, message: &str) {
    let status = answer.expect(code);
    let told = status["reason"].as_str().unwrap_or_default();
    assert_eq!((status["message"].as_str(), told), (Some(message), reason));
}

#[track_caller]
fn is_bad(answer: Answer, message: &str) {
    says(answer, 400, "BadRequest", message);
}

fn warnings(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("warning").iter();
    all.map(|warning| warning.to_str().expect("text").to_owned()).collect()
}

async fn as_yaml(server: &TestServer, path: &str, body: &str) -> Answer {
    server.client.send(Method::POST, path, "application/yaml", body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn yaml_may_say_things_twice() {
    let server = TestServer::start().await;
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: '1'\n  b: '1'\n  \
                 a: '2'\n  b: '3'\nodd: 1\n";
    let strict = as_yaml(&server, &format!("{MAPS}?fieldValidation=Strict"), twice).await;
    is_bad(
        strict,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
         yaml: unmarshal errors:\n  line 7: key \"a\" already set in map\n  \
         line 8: key \"b\" already set in map, unknown field \"odd\"",
    );
    for (validation, want) in [
        ("Ignore", vec![]),
        (
            "Warn",
            vec![
                "299 - \"line 7: key \\\"a\\\" already set in map\"",
                "299 - \"line 8: key \\\"b\\\" already set in map\"",
                "299 - \"unknown field \\\"odd\\\"\"",
            ],
        ),
    ] {
        let path = format!("{MAPS}?dryRun=All&fieldValidation={validation}");
        let answer = as_yaml(&server, &path, twice).await;
        assert_eq!(warnings(&answer), want);
        assert_eq!(answer.expect(201)["data"], json!({"a": "2", "b": "3"}));
    }
    let several = "# two of them\nmetadata: {name: m}\n---\nmetadata: {name: n}\n";
    let made = as_yaml(&server, MAPS, several).await.expect(201);
    assert_eq!(made["metadata"]["name"], "m");
    server.get(&format!("{MAPS}/n")).await.expect(404);
    is_bad(
        as_yaml(&server, MAPS, "a: [").await,
        "the object provided is unrecognized (must be of type ConfigMap): yaml: line 1: did not \
         find expected node content (613a205b)",
    );
    let apply = format!("{MAP}?fieldManager=f&fieldValidation=Warn");
    let kind = "application/apply-patch+yaml";
    let body = "apiVersion: v1\nkind: ConfigMap\ndata: {c: '1'}\ndata: {c: '2'}\n";
    let applied = server.client.send(Method::PATCH, &apply, kind, body).await;
    assert_eq!(warnings(&applied), ["299 - \"line 4: key \\\"data\\\" already set in map\""]);
    assert_eq!(applied.expect(200)["data"], json!({"c": "2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_are_refused_in_gos_words() {
    let server = TestServer::start().await;
    let parse = "couldn't get version/kind; json parse error: ";
    let value = "looking for beginning of value";
    let kinds = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                 \"json:\\\"kind,omitempty\\\"\" }";
    for (body, want) in [
        ("x", format!("{parse}invalid character 'x' {value} (78)")),
        ("{\"a\":}", format!("{parse}invalid character '}}' {value} ({{\"a\":}})")),
        ("{\"a\":1", format!("{parse}unexpected end of JSON input ({{\"a\":1)")),
        ("{} {}", format!("{parse}invalid character '{{' after top-level value ({{}} {{}})")),
        ("[]", format!("{parse}json: cannot unmarshal array into Go value of type {kinds} (5b5d)")),
        (
            "{\"kind\":5}",
            format!(
                "{parse}json: cannot unmarshal number into Go struct field .kind of type string \
                 ({{\"kind\":5}})"
            ),
        ),
    ] {
        let answer = server.client.send(Method::POST, MAPS, "application/json", body).await;
        let head = "the object provided is unrecognized (must be of type ConfigMap): ";
        is_bad(answer, &format!("{head}{want}"));
    }
    let cannot = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: ";
    let time = "json: cannot unmarshal number into Go struct field \
                ObjectMeta.metadata.creationTimestamp of type string";
    for (body, want) in [
        (json!({"metadata": {"creationTimestamp": 5}}), format!("{cannot}{time}")),
        (
            json!({"metadata": {"creationTimestamp": "2024-01-02"}}),
            format!(
                "{cannot}parsing time \"2024-01-02\" as \"2006-01-02T15:04:05Z07:00\": cannot \
                 parse \"\" as \"T\""
            ),
        ),
        (
            json!({"data": {"a": 1}}),
            format!(
                "{cannot}json: cannot unmarshal number into Go struct field ConfigMap.data of type \
                 string"
            ),
        ),
    ] {
        is_bad(server.post(MAPS, &body).await, &want);
    }
    // Nothing is an object without fields.
    let answer = server.client.send(Method::POST, MAPS, "application/json", "null").await;
    assert_eq!(answer.expect(422)["reason"], "Invalid");
    let scaler = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x"}});
    let path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    is_bad(
        server.post(path, &scaler).await,
        "the API version in the data (autoscaling/v1) does not match the expected API version \
         (autoscaling/v2)",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_fail_in_their_own_ways() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let rejected = "the server rejected our request due to an error in our request";
    let send = async |kind: &str, body: &str| {
        let kind = format!("application/{kind}+json");
        server.client.send(Method::PATCH, MAP, &kind, body.to_owned()).await
    };
    for body in [
        r#"[{"op": "jump", "path": "/data/a"}]"#,
        r#"[{"path": "/data/a"}]"#,
        r#"[{"op": "remove"}]"#,
        r#"[{"op": "remove", "path": "/data/none"}]"#,
        r#"[{"op": "test", "path": "/data/a", "value": "2"}]"#,
        r#"[{"op": "add", "path": "data", "value": {}}]"#,
    ] {
        let answer = send("json-patch", body).await;
        assert_eq!(answer.body["details"], json!({}), "{body}");
        says(answer, 422, "Invalid", rejected);
    }
    let unmarshal = "json: cannot unmarshal";
    for (kind, body, want) in [
        ("json-patch", "[", "error decoding patch: unexpected end of JSON input".to_owned()),
        (
            "json-patch",
            r#"[{"op": 1}]"#,
            format!(
                "error decoding patch: {unmarshal} number into Go struct field jsonPatchOp.op of \
                 type string"
            ),
        ),
        (
            "merge-patch",
            "[]",
            format!(
                "error decoding patch: {unmarshal} array into Go value of type \
                 map[string]interface {{}}"
            ),
        ),
        (
            "strategic-merge-patch",
            "{a",
            "invalid character 'a' looking for beginning of object key string".to_owned(),
        ),
        (
            "strategic-merge-patch",
            "[]",
            format!("{unmarshal} array into Go value of type map[string]interface {{}}"),
        ),
    ] {
        is_bad(send(kind, body).await, &want);
    }
    let many = vec![json!({"op": "test", "path": "/data/a", "value": "1"}); 10_001];
    says(
        send("json-patch", &Value::from(many).to_string()).await,
        413,
        "RequestEntityTooLarge",
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got \
         10001",
    );
    // What is no object of the kind any more is the patch's fault.
    for (kind, body) in [
        ("json-patch", r#"[{"op": "replace", "path": "/data", "value": "x"}]"#),
        ("merge-patch", r#"{"data": "x"}"#),
        ("strategic-merge-patch", r#"{"data": "x"}"#),
    ] {
        let status = send(kind, body).await.expect(422);
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with(" \"\" is invalid: patch: Invalid value: "), "{message}");
        let end = "json: cannot unmarshal string into Go struct field ConfigMap.data of type \
                   map[string]string";
        assert!(message.ends_with(end), "{kind}: {message}");
        assert_eq!(status["details"]["causes"][0]["field"], "patch");
    }
    let answer = send("json-patch", r#"[{"op": "add", "path": "/data/b", "value": "2"}]"#).await;
    assert_eq!(answer.expect(200)["data"], json!({"a": "1", "b": "2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_shown_and_read_is_said() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    crate::custom::define(&server, &crate::golden::foos()).await;
    let foos = "/apis/gold.io/v1/namespaces/default/foos";
    let foo = json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": {"name": "f"}});
    server.post(foos, &foo).await.expect(201);
    let one = "you requested PartialObjectMetadataList, but the requested object is not a list";
    let list = "you requested PartialObjectMetadata, but the requested object is a list";
    for (path, accept, want) in [
        (MAP, METADATA_LIST, format!("{one} (*core.ConfigMap)")),
        (MAPS, METADATA, format!("{list} (*core.ConfigMapList)")),
        ("/apis/apps/v1/deployments", METADATA, format!("{list} (*apps.DeploymentList)")),
        (foos, METADATA, format!("{list} (*unstructured.UnstructuredList)")),
    ] {
        let answer = server.client.get_as(path, accept).await;
        assert_eq!(answer.body["details"], Value::Null);
        says(answer, 406, "NotAcceptable", &want);
    }
    for (path, accept, kind) in [
        (MAP, METADATA, "PartialObjectMetadata"),
        (MAPS, METADATA_LIST, "PartialObjectMetadataList"),
    ] {
        assert_eq!(server.client.get_as(path, accept).await.expect(200)["kind"], kind);
    }
    let objects = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let stream = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    for (path, accept, want) in [
        (foos, "text/html", objects),
        (foos, "application/vnd.kubernetes.protobuf", objects),
        (MAPS, "application/json;as=Nothing;v=v1;g=meta.k8s.io", objects),
        ("/api/v1/configmaps?watch=1", "application/json;as=Nothing;v=v1", stream),
        (&format!("{foos}?watch=1"), "text/html", stream),
    ] {
        let message = format!("only the following media types are accepted: {want}");
        says(server.client.get_as(path, accept).await, 406, "NotAcceptable", &message);
    }
    let reads = "the body of the request was in an unknown format - accepted media types include: ";
    let protobuf = "application/vnd.kubernetes.protobuf";
    for (method, path, kind, want) in [
        (Method::POST, MAPS, "text/plain", objects),
        (Method::POST, foos, "text/plain", "application/json, application/yaml"),
        (Method::POST, foos, protobuf, "application/json, application/yaml"),
        (
            Method::PATCH,
            &format!("{foos}/f"),
            "application/strategic-merge-patch+json",
            "application/json-patch+json, application/merge-patch+json, \
             application/apply-patch+yaml",
        ),
    ] {
        let answer = server.client.send(method, path, kind, "x").await;
        says(answer, 415, "UnsupportedMediaType", &format!("{reads}{want}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_shown_in_the_form_that_was_asked_for() {
    let server = TestServer::start().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let send = async |method: Method, path: &str, accept: &str, body: Value| {
        let patch = method == Method::PATCH;
        let kind = if patch { "application/merge-patch+json" } else { "application/json" };
        let headers = [("accept", accept), ("content-type", kind)];
        read(server.client.open(method, path, &headers, body.to_string()).await).await
    };
    let map = config_map("m", "1");
    for accept in ["text/html", METADATA_LIST] {
        send(Method::POST, MAPS, accept, map.clone()).await.expect(406);
        server.get(MAP).await.expect(404);
    }
    let made = send(Method::POST, MAPS, METADATA, map.clone()).await.expect(201);
    assert_eq!((&made["kind"], &made["data"]), (&"PartialObjectMetadata".into(), &Value::Null));
    assert_eq!(made["metadata"]["name"], "m");
    let put = send(Method::PUT, MAP, table, config_map("m", "2")).await.expect(200);
    assert_eq!((&put["kind"], &put["rows"][0]["cells"][0]), (&"Table".into(), &"m".into()));
    assert_eq!(
        put["metadata"]["resourceVersion"],
        put["rows"][0]["object"]["metadata"]["resourceVersion"]
    );
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let patched = send(Method::PATCH, MAP, METADATA, labels).await.expect(200);
    assert_eq!(
        (&patched["kind"], &patched["metadata"]["labels"]["a"]),
        (&"PartialObjectMetadata".into(), &"b".into())
    );
    // An acknowledgement has no other form, and a refusal neither.
    send(Method::POST, MAPS, METADATA, map).await.expect(409);
    let gone = send(Method::DELETE, MAP, METADATA, json!({})).await.expect(200);
    assert_eq!(gone["kind"], "Status");
    server.post(PODS, &pod("p")).await.expect(201);
    let only = "only the following media types are accepted: application/json, application/yaml, \
                application/vnd.kubernetes.protobuf";
    let log = server.client.get_as(&format!("{PODS}/p/log"), "text/plain").await;
    says(log, 406, "NotAcceptable", only);
    let log = server.client.get_as(&format!("{PODS}/p/log"), "application/json, */*").await;
    assert_eq!(log.code, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_are_named_as_kubernetes_names_them() {
    let server = TestServer::start().await;
    let long = "may not be more than 1048576 bytes";
    let answer = server.post(MAPS, &config_map("m", &"x".repeat((1 << 20) + 1))).await;
    assert_eq!(answer.body["details"]["causes"][0]["field"], "[]");
    let message = format!("ConfigMap \"m\" is invalid: []: Too long: {long}");
    says(answer, 422, "Invalid", &message);
    server.post(MAPS, &config_map("m", &"x".repeat(1 << 20))).await.expect(201);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"a": "x".repeat((1 << 20) + 1)}});
    let answer = server.post("/api/v1/namespaces/default/secrets", &secret).await;
    says(answer, 422, "Invalid", &format!("Secret \"s\" is invalid: data: Too long: {long}"));

    let mut map = config_map("m", "2");
    map["metadata"]["resourceVersion"] = "abc".into();
    let number = "strconv.ParseUint: parsing \"abc\": invalid syntax";
    says(server.put(MAP, &map).await, 500, "", number);

    let options = "Go struct field DeleteOptions";
    for (body, want) in [
        (
            "x",
            "couldn't get version/kind; json parse error: invalid character 'x' looking for \
               beginning of value"
                .to_owned(),
        ),
        (
            r#"{"gracePeriodSeconds": "1"}"#,
            format!(
                "json: cannot unmarshal string into {options}.gracePeriodSeconds of type int64"
            ),
        ),
        (
            r#"{"dryRun": "All"}"#,
            format!("json: cannot unmarshal string into {options}.dryRun of type []string"),
        ),
        (
            r#"{"kind": "Pod", "apiVersion": "v1"}"#,
            "no kind \"Pod\" is registered for version \"v1\" in scheme".to_owned(),
        ),
    ] {
        for path in [MAP, MAPS] {
            let answer = server.client.send(Method::DELETE, path, "application/json", body).await;
            is_bad(answer, &want);
        }
    }
    server.get(MAP).await.expect(200);

    let token = "invalid continue token: continue key is not valid: ";
    for (text, want) in [
        ("zzz", "invalid character 'Ï' looking for beginning of value"),
        ("a.b", "illegal base64 data at input byte 1"),
        // {"v":"v2"}, and {"v":"meta.k8s.io/v1","rv":1,"start":"../x"}
        ("eyJ2IjoidjIifQ", "server does not recognize this encoded version v2"),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0", "../x"),
    ] {
        let answer = server.get(&format!("{MAPS}?continue={text}")).await;
        is_bad(answer, &format!("{token}{want}"));
    }

    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    is_bad(server.post(path, &review).await, "no namespace on request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_bound_once() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let binding = |node: &str| {
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
            "target": {"kind": "Node", "name": node}})
    };
    let path = format!("{PODS}/p/binding");
    server.post(&path, &binding("n1")).await.expect(201);
    let answer = server.post(&path, &binding("n2")).await;
    assert_eq!(answer.body["details"], json!({"name": "p", "kind": "pods/binding"}));
    let message = "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned \
                   to node \"n1\"";
    says(answer, 409, "Conflict", message);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_name_of_its_request() {
    let server = TestServer::start().await;
    let nobody = server.client_of(None);
    let mut names = std::collections::HashSet::new();
    for (client, path, code) in [
        (&server.client, MAPS, 200),
        (&server.client, "/livez", 200),
        (&server.client, "/nothing", 404),
        (&nobody, MAPS, 401),
    ] {
        let answer = client.send(Method::GET, path, "", "").await;
        assert_eq!(answer.code, code);
        let name = answer.headers["audit-id"].to_str().unwrap().to_owned();
        assert_eq!(name.len(), 36, "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 4);
    let headers = [("audit-id", "mine")];
    let answer = read(server.client.open(Method::GET, MAPS, &headers, "").await).await;
    assert_eq!(answer.headers["audit-id"], "mine");
    let refused = nobody.send(Method::GET, MAPS, "", "").await;
    let want = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401});
    assert_eq!(refused.expect(401), want);
}
