//! CertificateSigningRequests: who may have a certificate, the certificate, and the end of the request.
//!
//! A node that joins asks for a client certificate, and again before it ends; those requests are
//! approved if whoever asks may ask for them (a SubjectAccessReview on `nodeclient` or
//! `selfnodeclient`, subresources that exist for this purpose alone). A node's serving certificate is
//! approved if its names are the node's own ([`serving`]). What somebody has approved, of the four
//! signers of Kubernetes, is signed by the cluster's authority; requests go when their time is over.
//!
//! [`plan`] decides, [`sign`] makes the certificate, [`request`] is what is asked for.
//!
//! Source: k8s.io/kubernetes/pkg/controller/certificates,
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>.

mod plan;
mod request;
mod serving;
mod sign;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};

use self::plan::Step;
use self::request::Request;
pub(crate) use self::sign::Authority;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Index, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// The `source.component` of its events, and its name in logs.
pub(crate) const NAME: &str = "certificate-controller";
/// The group of requests and of the subresources that are only asked about.
const GROUP: &str = "certificates.k8s.io";
/// A request for names that a node does not have yet is looked at again after this.
const UNDECIDED: Duration = Duration::from_secs(5);

/// With what the controllers sign, and for how long.
#[derive(Clone)]
pub struct Signing {
    /// The authority's certificate, PEM.
    pub certificate_pem: String,
    /// Its private key: ECDSA P-256, PKCS#8 in PEM.
    pub key_pem: String,
    /// The longest life of a certificate; a request may ask for less, not below ten minutes.
    pub lifetime: Duration,
    /// Whether serving certificates of nodes are approved when their names are the node's own.
    /// Otherwise that is left to the operator, as Kubernetes itself leaves it.
    pub approve_serving: bool,
}

impl Signing {
    /// A year: the longest life of a certificate in Kubernetes, unless an operator says otherwise.
    pub const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
}

/// Never prints the key.
impl fmt::Debug for Signing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Signing").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Certificates {
    client: Client,
    clock: Clock,
    requests: Cache<CertificateSigningRequest>,
    /// Nodes by their names and addresses.
    nodes: Index<Node>,
    authority: Arc<Authority>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl Certificates {
    /// Hooks into the informer of requests; the queue is to be served with
    /// [`Certificates::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        authority: Arc<Authority>,
        requests: &mut Informer<CertificateSigningRequest>,
        nodes: &mut Informer<Node>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            clock,
            requests: requests.cache(),
            nodes: nodes.index(serving::names),
            authority,
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        requests.on_change(move |_, now| {
            if let Some(asked) = now {
                queue.add(Key::of(&**asked));
            }
        });
        this
    }

    /// The queue of requests to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Approves, signs or deletes one request.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(asked) = self.requests.get(&key) else { return Ok(Next::OnChange) };
        let (asked, now) = (&*asked, self.clock.now());
        let end = plan::end(asked);
        if end.is_some_and(|end| end <= now) {
            self.delete(asked, &key).await?;
            return Ok(Next::OnChange);
        }
        let left = end.map(|end| end.duration_since(now).unsigned_abs());
        let later = left.map_or(Next::OnChange, Next::After);
        // The API server has checked that it is a request; what cannot be read here nobody can sign.
        let Some(wanted) = Request::read(&asked.spec.request.0) else { return Ok(later) };
        let named = |name: &str| self.nodes.get(name);
        let nodes = self.authority.approve_serving().then(|| serving::concerned(&wanted, named));
        match plan::step(asked, &wanted, nodes.as_deref()) {
            Step::Leave => {}
            Step::Review(subresources) => {
                for (subresource, message) in subresources {
                    if self.may(asked, subresource).await? {
                        self.approve(asked, message).await?;
                        break;
                    }
                }
            }
            Step::Approve(message) => self.approve(asked, message).await?,
            Step::Wait(why) => {
                self.recorder.warning(Subject::of(asked), "NotApproved", why);
                return Ok(Next::After(left.map_or(UNDECIDED, |left| left.min(UNDECIDED))));
            }
            Step::Sign => self.sign(asked, &wanted).await?,
            Step::Fail(why) => {
                let failed = condition("Failed", "SignerValidationFailure", &why);
                self.write(asked, |asked| add_condition(asked, failed)).await?;
            }
        }
        Ok(later)
    }

    /// Whether whoever asks may ask for this.
    async fn may(
        &self,
        asked: &CertificateSigningRequest,
        subresource: &str,
    ) -> Result<bool, ReconcileError> {
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some("certificatesigningrequests".to_owned()),
            subresource: Some(subresource.to_owned()),
            verb: Some("create".to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: asked.spec.username.clone(),
                uid: asked.spec.uid.clone(),
                groups: asked.spec.groups.clone(),
                extra: asked.spec.extra.clone(),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let subject = format!("who asks for {}", asked.name_any());
        let reviewed = request("review", subject, api.create(&params, &review)).await?;
        Ok(reviewed.status.is_some_and(|status| status.allowed))
    }

    async fn approve(
        &self,
        asked: &CertificateSigningRequest,
        message: &str,
    ) -> Result<(), ReconcileError> {
        let mut approved = asked.clone();
        add_condition(&mut approved, condition("Approved", "AutoApproved", message));
        let (api, name, params) = (self.api(), asked.name_any(), PostParams::default());
        let written = api.replace_subresource("approval", &name, &params, &approved);
        unless_gone(request("approve request", &name, written).await)?;
        tracing::info!(request = name, user = asked.spec.username, message, "certificate approved");
        Ok(())
    }

    async fn sign(
        &self,
        asked: &CertificateSigningRequest,
        wanted: &Request,
    ) -> Result<(), ReconcileError> {
        let spec = &asked.spec;
        let usages = spec.usages.as_deref().unwrap_or_default();
        let signed = self.authority.sign(wanted, usages, spec.expiration_seconds, self.clock.now());
        let name = asked.name_any();
        let pem = match signed {
            Ok(pem) => pem,
            Err(error) => {
                let failed = condition("Failed", "SigningError", &error.to_string());
                return self.write(asked, |asked| add_condition(asked, failed)).await;
            }
        };
        let certificate = ByteString(pem.into_bytes());
        self.write(asked, |asked| {
            asked.status.get_or_insert_default().certificate = Some(certificate);
        })
        .await?;
        tracing::info!(request = name, signer = spec.signer_name, "certificate signed");
        Ok(())
    }

    /// Writes the status.
    async fn write(
        &self,
        asked: &CertificateSigningRequest,
        change: impl FnOnce(&mut CertificateSigningRequest),
    ) -> Result<(), ReconcileError> {
        let mut changed = asked.clone();
        change(&mut changed);
        let (api, name, params) = (self.api(), asked.name_any(), PostParams::default());
        let written = api.replace_status(&name, &params, &changed);
        unless_gone(request("update status of request", &name, written).await).map(drop)
    }

    async fn delete(
        &self,
        asked: &CertificateSigningRequest,
        key: &Key,
    ) -> Result<(), ReconcileError> {
        // Somebody may have decided about it a moment ago.
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: asked.uid(),
            resource_version: asked.resource_version(),
        });
        let deleted = request("delete request", key, self.api().delete(&key.name, &params)).await;
        unless_gone(deleted).map(drop)
    }

    fn api(&self) -> Api<CertificateSigningRequest> {
        Api::all(self.client.clone())
    }
}

fn condition(kind: &str, reason: &str, message: &str) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..CertificateSigningRequestCondition::default()
    }
}

fn add_condition(
    asked: &mut CertificateSigningRequest,
    condition: CertificateSigningRequestCondition,
) {
    let status = asked.status.get_or_insert_default();
    status.conditions.get_or_insert_default().push(condition);
}
