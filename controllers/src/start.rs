//! How groups of controllers are started: informers list, and when all have listed, workers begin.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::sync::Arc;

use client::Clock;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Node, PersistentVolume, PersistentVolumeClaim, Pod,
    ReplicationController, ResourceQuota, Secret, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttributesClass};
use kube::Client;
use kube::api::Resource;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use tokio_util::task::TaskTracker;

use crate::autoscaling::{self, Autoscaling};
use crate::bootstrap_signer::{self, BootstrapSigner};
use crate::certificates::{self, Authority, Certificates};
use crate::cron_job::{self, CronJobs};
use crate::disruption::{self, Disruption};
use crate::endpoint_slice_mirroring::{self, Mirroring};
use crate::ephemeral_volume::{self, EphemeralVolumes};
use crate::events::Recorder;
use crate::garbage::Garbage;
use crate::informer::Informer;
use crate::job::{self, Jobs};
use crate::local_path::{self, LocalPath, Provisioner};
use crate::node_ipam::{self, NodeIpam, NodeRanges};
use crate::node_ttl::{self, NodeTtl};
use crate::protection::{self, AttributesClassProtection};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, Stop, serve};
use crate::resource_claim::{self, ResourceClaims};
use crate::resource_quota::{self, ResourceQuotas};
use crate::token_cleaner::{self, TokenCleaner};
use crate::ttl_after_finished::{self, TtlAfterFinished};
use crate::volume_binding::{self, VolumeBinding};

/// What is being started.
pub(crate) struct Start<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: Clock,
    pub(crate) recorder: &'a Recorder,
    pub(crate) tracker: &'a TaskTracker,
    pub(crate) stop: &'a Stop,
    /// Workers per controller.
    pub(crate) workers: usize,
    lists: Vec<BoxFuture<'static, ()>>,
    served: Vec<Box<dyn FnOnce() + Send + 'a>>,
}

impl<'a> Start<'a> {
    pub(crate) fn new(
        client: &'a Client,
        clock: Clock,
        recorder: &'a Recorder,
        tracker: &'a TaskTracker,
        stop: &'a Stop,
        workers: usize,
    ) -> Self {
        let (lists, served) = (Vec::new(), Vec::new());
        Self { client, clock, recorder, tracker, stop, workers, lists, served }
    }

    /// An informer of every object of a kind, not started yet.
    pub(crate) fn informer<K>(&self) -> Informer<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        Informer::new(self.client.clone(), watcher::Config::default())
    }

    /// Starts an informer. All handlers have to be there.
    pub(crate) fn begin<K>(&mut self, informer: Informer<K>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let mut cache = informer.cache();
        self.tracker.spawn(informer.run(self.stop.asked.clone()));
        self.lists.push(async move { cache.listed().await }.boxed());
    }

    /// Serves a queue once everything has listed.
    pub(crate) fn serve<K, F, Run>(
        &mut self,
        controller: &'static str,
        queue: &Arc<WorkQueue<K>>,
        workers: usize,
        reconcile: F,
    ) where
        K: Clone + Display + Eq + Hash + Ord + Send + Sync + 'static,
        F: Fn(K) -> Run + Clone + Send + Sync + 'static,
        Run: Future<Output = Result<Next, ReconcileError>> + Send,
    {
        let (queue, tracker, stop) = (queue.clone(), self.tracker, self.stop);
        self.served.push(Box::new(move || {
            serve(controller, &queue, workers, tracker, stop, reconcile);
        }));
    }

    /// Waits for the lists. Nothing is decided on half a list.
    pub(crate) async fn listed(&mut self) {
        join_all(self.lists.drain(..)).await;
    }

    /// Starts the workers.
    pub(crate) fn finish(self) {
        for serve in self.served {
            serve();
        }
    }

    /// Jobs and CronJobs.
    pub(crate) fn batch(&mut self, pods: &mut Informer<Pod>) {
        let (mut jobs, mut cron_jobs) = (self.informer::<Job>(), self.informer::<CronJob>());
        let client = || self.client.clone();
        let controller = Jobs::new(client(), self.clock, &mut jobs, pods, self.recorder);
        let schedules =
            CronJobs::new(client(), self.clock, &mut cron_jobs, &mut jobs, self.recorder);
        let ttl = TtlAfterFinished::new(client(), self.clock, &mut jobs);
        self.begin(jobs);
        self.begin(cron_jobs);
        let queue = controller.queue().clone();
        self.serve(job::NAME, &queue, self.workers, move |work| controller.clone().reconcile(work));
        let queue = schedules.queue().clone();
        self.serve(cron_job::NAME, &queue, self.workers, move |key| {
            schedules.clone().reconcile(key)
        });
        let queue = ttl.queue().clone();
        self.serve(ttl_after_finished::NAME, &queue, 1, move |key| ttl.clone().reconcile(key));
    }

    /// PersistentVolumes, their claims and classes, and the built-in provisioner if it has a place.
    pub(crate) fn storage(
        &mut self,
        place: Option<&LocalPath>,
        claims: &mut Informer<PersistentVolumeClaim>,
        volumes: &mut Informer<PersistentVolume>,
        pods: &mut Informer<Pod>,
        nodes: &Informer<Node>,
    ) {
        let mut classes = self.informer::<StorageClass>();
        let sources = volume_binding::Sources { claims, volumes, classes: &mut classes, pods };
        let binder = VolumeBinding::new(self.client.clone(), self.clock, sources, self.recorder);
        let provisioner = place.map(|place| {
            let sources = local_path::Sources { claims, volumes, classes: &classes, nodes };
            Provisioner::new(self.client.clone(), place.clone(), sources, self.recorder)
        });
        let mut attributes = self.informer::<VolumeAttributesClass>();
        let protection =
            AttributesClassProtection::new(self.client.clone(), &mut attributes, claims, volumes);
        self.begin(attributes);
        let queue = protection.queue().clone();
        self.serve(protection::ATTRIBUTES_CLASSES, &queue, 1, move |key| {
            protection.clone().reconcile(key)
        });
        let ephemeral = EphemeralVolumes::new(self.client.clone(), pods, claims, self.recorder);
        self.begin(classes);
        let queue = ephemeral.queue().clone();
        self.serve(ephemeral_volume::NAME, &queue, 1, move |key| ephemeral.clone().reconcile(key));
        let queue = binder.queue().clone();
        // One worker: two claims that want one volume come one after the other.
        self.serve(volume_binding::NAME, &queue, 1, move |work| binder.clone().reconcile(work));
        if let Some(provisioner) = provisioner {
            let queue = provisioner.queue().clone();
            self.serve(local_path::NAME, &queue, 1, move |work| {
                provisioner.clone().reconcile(work)
            });
        }
    }

    /// ResourceClaims.
    pub(crate) fn devices(&mut self, pods: &mut Informer<Pod>) {
        let mut claims = self.informer::<ResourceClaim>();
        let mut templates = self.informer::<ResourceClaimTemplate>();
        let client = self.client.clone();
        let controller =
            ResourceClaims::new(client, pods, &mut claims, &mut templates, self.recorder);
        self.begin(claims);
        self.begin(templates);
        let queue = controller.queue().clone();
        self.serve(resource_claim::NAME, &queue, self.workers, move |work| {
            controller.clone().reconcile(work)
        });
    }

    /// ResourceQuotas.
    pub(crate) fn quotas(&mut self, garbage: &mut Garbage) {
        let mut quotas = self.informer::<ResourceQuota>();
        let controller = ResourceQuotas::new(self.client.clone(), self.clock, &mut quotas, garbage);
        self.begin(quotas);
        let queue = controller.queue().clone();
        self.serve(resource_quota::NAME, &queue, self.workers, move |key| {
            controller.clone().reconcile(key)
        });
    }

    /// EndpointSlices of Endpoints that people write.
    pub(crate) fn mirroring(
        &mut self,
        services: &mut Informer<Service>,
        endpoints: &mut Informer<Endpoints>,
        slices: &mut Informer<EndpointSlice>,
    ) {
        let controller = Mirroring::new(self.client.clone(), services, endpoints, slices);
        let queue = controller.queue().clone();
        self.serve(endpoint_slice_mirroring::NAME, &queue, 1, move |key| {
            controller.clone().reconcile(key)
        });
    }

    /// What nodes are told of the cluster's size, and the tokens with which nodes join.
    pub(crate) fn nodes_and_tokens(&mut self, nodes: &mut Informer<Node>) {
        let tokens =
            format!("type={},metadata.namespace={}", token_cleaner::TYPE, token_cleaner::NAMESPACE);
        let config = watcher::Config::default().fields(&tokens);
        let mut secrets: Informer<Secret> = Informer::new(self.client.clone(), config);
        let ttl = NodeTtl::new(self.client.clone(), nodes);
        let cleaner = TokenCleaner::new(self.client.clone(), self.clock, &mut secrets);
        let info = format!(
            "metadata.namespace={},metadata.name={}",
            bootstrap_signer::NAMESPACE,
            bootstrap_signer::CONFIG_MAP
        );
        let config = watcher::Config::default().fields(&info);
        let mut info: Informer<ConfigMap> = Informer::new(self.client.clone(), config);
        let signer = BootstrapSigner::new(self.client.clone(), self.clock, &mut secrets, &mut info);
        self.begin(secrets);
        self.begin(info);
        let queue = signer.queue().clone();
        self.serve(bootstrap_signer::NAME, &queue, 1, move |key| signer.clone().reconcile(key));
        let queue = ttl.queue().clone();
        self.serve(node_ttl::NAME, &queue, 1, move |key| ttl.clone().reconcile(key));
        let queue = cleaner.queue().clone();
        self.serve(token_cleaner::NAME, &queue, 1, move |key| cleaner.clone().reconcile(key));
    }

    /// What nodes need to join: certificates, and addresses for their pods.
    pub(crate) fn joining(
        &mut self,
        authority: Option<Arc<Authority>>,
        ranges: Option<NodeRanges>,
        nodes: &mut Informer<Node>,
    ) {
        if let Some(ranges) = ranges {
            let ipam = NodeIpam::new(self.client.clone(), ranges, nodes, self.recorder);
            let queue = ipam.queue().clone();
            // One worker: a range is given to one node at a time.
            self.serve(node_ipam::NAME, &queue, 1, move |key| ipam.clone().reconcile(key));
        }
        if let Some(authority) = authority {
            let mut requests = self.informer::<CertificateSigningRequest>();
            let (client, clock) = (self.client.clone(), self.clock);
            let controller =
                Certificates::new(client, clock, authority, &mut requests, nodes, self.recorder);
            self.begin(requests);
            let queue = controller.queue().clone();
            self.serve(certificates::NAME, &queue, 1, move |key| controller.clone().reconcile(key));
        }
    }

    /// HorizontalPodAutoscalers.
    pub(crate) fn autoscaling(&mut self, pods: &Informer<Pod>) {
        let mut autoscalers = self.informer::<HorizontalPodAutoscaler>();
        let client = self.client.clone();
        let controller =
            Autoscaling::new(client, self.clock, &mut autoscalers, pods, self.recorder);
        self.begin(autoscalers);
        let queue = controller.queue().clone();
        self.serve(autoscaling::NAME, &queue, self.workers, move |key| {
            controller.clone().reconcile(key)
        });
    }

    /// PodDisruptionBudgets.
    pub(crate) fn policy(
        &mut self,
        pods: &mut Informer<Pod>,
        replication_controllers: &Informer<ReplicationController>,
        replica_sets: &Informer<ReplicaSet>,
        deployments: &Informer<Deployment>,
        stateful_sets: &Informer<StatefulSet>,
    ) {
        let mut budgets = self.informer::<PodDisruptionBudget>();
        let controller = Disruption::new(
            self.client.clone(),
            self.clock,
            disruption::Sources {
                budgets: &mut budgets,
                pods,
                replication_controllers,
                replica_sets,
                deployments,
                stateful_sets,
            },
            self.recorder,
        );
        self.begin(budgets);
        let queue = controller.queue().clone();
        self.serve(disruption::NAME, &queue, self.workers, move |key| {
            controller.clone().reconcile(key)
        });
    }
}
