//! The arguments of `wctl`. kubectl's verbs and flags keep their kubectl meaning; Docker's habits work too.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use http::Uri;
use ipnet::Ipv4Net;

use crate::commands::duration;
use crate::sim::MOST_NODES;

/// WebAssembly and native containers as Kubernetes pods, from one binary.
#[derive(Debug, Parser)]
#[command(name = "wctl", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Cluster to talk to (default: $KUBECONFIG, the running dev cluster, ~/.kube/config)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace of namespaced resources
    #[arg(long, short = 'n', global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Where this host's cluster keeps its state [default: the running dev cluster's, /var/lib/wharf]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster on this host until SIGINT or SIGTERM
    Dev(Dev),
    /// Run a control plane for nodes that join with `wctl agent`, until SIGINT or SIGTERM
    Server(Server),
    /// Run this host as a node of a cluster, until SIGINT or SIGTERM
    Agent(Agent),
    /// Run a control plane with nodes that only seem to run pods, until SIGINT or SIGTERM
    Sim(Sim),
    /// List or show resources
    Get(Get),
    /// Show a resource in detail, with its events
    Describe(Describe),
    /// Create or change resources so that they are as the files say
    Apply(Files),
    /// Create resources from files
    Create(Files),
    /// Delete resources
    Delete(Delete),
    /// Print a container's output
    Logs(Logs),
    /// Set the number of replicas
    Scale(Scale),
    /// Change fields of resources
    Patch(Patch),
    /// Wait until resources meet a condition
    Wait(Wait),
    /// Run an image or a .wasm file as a pod
    Run(Run),
    /// List this cluster's containers
    Ps(Ps),
    /// Show what nodes or pods use
    Top(Top),
    /// Fetch an image from a registry
    Pull(Pull),
    /// Push a .wasm file to a registry
    Push(Push),
    /// List this host's images
    Images(Images),
    /// Load, remove, prune images
    #[command(subcommand)]
    Image(Image),
    /// List the resources the server serves
    ApiResources,
    /// Say what this host permits, and why not
    Doctor(Doctor),
    /// Print the version of wctl and of the server
    Version(Version),
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Wide,
    Json,
    Yaml,
    Name,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Address of the API server; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// sqlite:///PATH or postgres://…  [default: SQLite in the data dir]
    #[arg(long, value_name = "URL")]
    pub(crate) datastore: Option<String>,
    /// Pod and Service addresses from 127.0.0.0/8 even where a bridge is possible
    #[arg(long)]
    pub(crate) loopback: bool,
    /// Leave the pods running at SIGINT and SIGTERM; the next `wctl dev` adopts them
    #[arg(long)]
    pub(crate) keep_pods: bool,
    /// Name of the node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): profiles, plugins and their arguments
    #[arg(long, value_name = "FILE")]
    pub(crate) scheduler_config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Address of the API server; port 0 takes a free one
    #[arg(long, default_value = "0.0.0.0:6443", value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// sqlite:///PATH or postgres://…; several servers share a Postgres  [default: SQLite in the data dir]
    #[arg(long, value_name = "URL")]
    pub(crate) datastore: Option<String>,
    /// Address at which agents and pods reach this server [default: that of --listen, or the one that leads out]
    #[arg(long, value_name = "ADDR")]
    pub(crate) advertise_address: Option<IpAddr>,
    /// Further host name or address of this server, for its certificate; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_san: Vec<String>,
    /// From which nodes get the addresses of their pods
    #[arg(long, default_value = "10.42.0.0/16", value_name = "CIDR")]
    pub(crate) cluster_cidr: Ipv4Net,
    /// Prefix length of a node's part of it
    #[arg(long, default_value_t = 24, value_name = "BITS")]
    pub(crate) node_cidr_mask_size: u8,
    /// From which Services get their addresses
    #[arg(long, default_value = "10.43.0.0/16", value_name = "CIDR")]
    pub(crate) service_cidr: Ipv4Net,
    /// How long a node may be silent before it counts as gone; agents speak every ten seconds
    #[arg(long, default_value = "40s", value_name = "TIME", value_parser = grace)]
    pub(crate) node_monitor_grace_period: Duration,
    /// The longest life of a certificate that the cluster signs
    #[arg(long, default_value = "8760h", value_name = "TIME", value_parser = grace)]
    pub(crate) cluster_signing_duration: Duration,
    /// Leave serving certificates of nodes to `kubectl certificate approve`
    #[arg(long)]
    pub(crate) manual_serving_approval: bool,
    /// KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): profiles, plugins and their arguments
    #[arg(long, value_name = "FILE")]
    pub(crate) scheduler_config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The API server, like https://192.0.2.1:6443
    #[arg(long, value_name = "URL", value_parser = server)]
    pub(crate) server: Uri,
    /// Bootstrap token that `wctl server` prints; only for the first start
    #[arg(long, value_name = "TOKEN", env = "WHARF_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// By which the server is known: sha256: and the hash of its CA's public key; only for the first start
    #[arg(long, value_name = "HASH")]
    pub(crate) ca_hash: Option<String>,
    /// By which the server is known: its CA as PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Name of the node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// Address at which server and other nodes reach this host [default: that towards the server]
    #[arg(long, value_name = "ADDR")]
    pub(crate) node_ip: Option<IpAddr>,
    /// Port at which the server reaches this node, for logs and exec; 0 takes a free one
    #[arg(long, default_value_t = 10250, value_name = "PORT")]
    pub(crate) kubelet_port: u16,
    /// Leave the pods running at SIGINT and SIGTERM; the next `wctl agent` adopts them
    #[arg(long)]
    pub(crate) keep_pods: bool,
}

fn server(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    if uri.scheme_str() == Some("https") && uri.host().is_some() {
        return Ok(uri);
    }
    Err("not of the form https://HOST:PORT".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// How many nodes there are; each has 4 CPUs, 32 GiB and room for 110 pods
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_NODES)))]
    pub(crate) nodes: u32,
    /// Address of the API server; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// From a pod's binding to Running, like 1s or 250ms
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = duration)]
    pub(crate) pod_start_delay: Duration,
    /// From a pod's deletion to its end, if its grace period is not shorter
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = duration)]
    pub(crate) pod_stop_delay: Duration,
    /// Chance that a node falls silent in a minute, 0 to 1; it comes back after two to six times --node-grace
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = chance)]
    pub(crate) node_failures: f64,
    /// Which nodes fail and when: the same seed, the same failures
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub(crate) seed: u64,
    /// How long a node may be silent before it counts as gone, at least 1s
    #[arg(long, default_value = "40s", value_name = "TIME", value_parser = grace)]
    pub(crate) node_grace: Duration,
    /// How many zones the nodes are spread over
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) zones: u32,
}

fn chance(text: &str) -> Result<f64, String> {
    let chance: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&chance) { Ok(chance) } else { Err("not within 0 to 1".to_owned()) }
}

fn grace(text: &str) -> anyhow::Result<Duration> {
    let grace = duration(text)?;
    anyhow::ensure!(grace >= Duration::from_secs(1), "shorter than 1s");
    Ok(grace)
}

/// Which objects of a resource.
#[derive(Debug, Clone, Args)]
pub(crate) struct Selection {
    /// Only objects whose labels match
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Only objects whose fields match
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) field_selector: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A')]
    pub(crate) all_namespaces: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// RESOURCE [NAME…], RESOURCE,RESOURCE or RESOURCE/NAME…
    #[arg(required_unless_present = "filename")]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// wide, json, yaml or name
    #[arg(long, short)]
    pub(crate) output: Option<Format>,
    /// Go on printing changes
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// Print the labels in a column
    #[arg(long)]
    pub(crate) show_labels: bool,
    /// Print who owns which fields, in json and yaml
    #[arg(long)]
    pub(crate) show_managed_fields: bool,
    /// Print no header line
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Show what these files name
    #[arg(long, short)]
    pub(crate) filename: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// RESOURCE [NAME…] or RESOURCE/NAME…
    #[arg(required = true)]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// File, folder or - for standard input; YAML or JSON
    #[arg(long, short, required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// Let the server check everything and store nothing
    #[arg(long, value_parser = ["none", "server"], default_value = "none", require_equals = true)]
    pub(crate) dry_run: String,
    /// json, yaml or name
    #[arg(long, short)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// RESOURCE NAME… or RESOURCE/NAME…
    #[arg(required_unless_present = "filename")]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Delete what these files name
    #[arg(long, short)]
    pub(crate) filename: Vec<PathBuf>,
    /// All objects of the resource
    #[arg(long)]
    pub(crate) all: bool,
    /// Seconds that containers get to end [default: the pod's own]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_period: Option<i64>,
    /// With --grace-period=0: do not wait for the node
    #[arg(long)]
    pub(crate) force: bool,
    /// A missing object is no error
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Wait until the objects are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, require_equals = true, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) wait: bool,
    /// Delete dependents: background, foreground or orphan
    #[arg(long, default_value = "background", value_parser = ["background", "foreground", "orphan"], require_equals = true)]
    pub(crate) cascade: String,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// POD, pod/POD or RESOURCE/NAME
    pub(crate) target: String,
    /// Container, if the pod has several
    #[arg(long, short)]
    pub(crate) container: Option<String>,
    /// The container as a second argument, like kubectl
    #[arg(conflicts_with = "container")]
    pub(crate) container_argument: Option<String>,
    /// Go on until the container ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(long, default_value_t = -1, value_name = "LINES", allow_negative_numbers = true)]
    pub(crate) tail: i64,
    /// The container's previous run
    #[arg(long, short)]
    pub(crate) previous: bool,
    /// Put the time before each line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Only lines newer than this, like 10s or 1h
    #[arg(long, value_name = "DURATION")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// RESOURCE NAME or RESOURCE/NAME
    #[arg(required = true)]
    pub(crate) target: Vec<String>,
    /// Wanted number of replicas
    #[arg(long)]
    pub(crate) replicas: i32,
}

#[derive(Debug, Args)]
pub(crate) struct Patch {
    /// RESOURCE NAME or RESOURCE/NAME
    #[arg(required = true)]
    pub(crate) target: Vec<String>,
    /// The patch, JSON or YAML
    #[arg(short, long)]
    pub(crate) patch: String,
    /// How the patch is meant
    #[arg(long = "type", value_enum, default_value_t = PatchType::Strategic)]
    pub(crate) patch_type: PatchType,
}

/// The kinds of patches, as kubectl calls them.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum PatchType {
    /// Lists are merged by their keys
    Strategic,
    /// RFC 7386; the only one besides json for custom resources
    Merge,
    /// RFC 6902
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// RESOURCE NAME… or RESOURCE/NAME…
    #[arg(required = true)]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// condition=NAME[=VALUE], jsonpath={.a.b}=VALUE, create or delete
    #[arg(long = "for", value_name = "CONDITION")]
    pub(crate) condition: String,
    /// How long to wait, like 30s
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub(crate) timeout: String,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Image reference or .wasm file
    pub(crate) image: String,
    /// Arguments of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
    /// Name of the pod [default: made from the image's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Environment variable KEY=VALUE
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Return at once, print the pod's name
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Delete the pod when it has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Port that the program listens on
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Always, OnFailure or Never
    #[arg(long, default_value = "Never", value_parser = ["Always", "OnFailure", "Never"])]
    pub(crate) restart: String,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Also containers that have ended
    #[arg(long, short)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// nodes or pods
    pub(crate) subject: TopSubject,
    /// Only this one
    #[arg(conflicts_with_all = ["selector", "field_selector", "all_namespaces"])]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// A line for every container of a pod
    #[arg(long)]
    pub(crate) containers: bool,
    /// Most used first: cpu or memory
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) sort_by: Option<TopOrder>,
    /// Print no header line
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopSubject {
    #[value(aliases = ["node", "no"])]
    Nodes,
    #[value(aliases = ["pod", "po"])]
    Pods,
}

/// What lines are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopOrder {
    Cpu,
    Memory,
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Reference, like docker.io/library/busybox:1.36 or 127.0.0.1:5000/app@sha256:…
    pub(crate) reference: String,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The .wasm file
    pub(crate) file: PathBuf,
    /// Where it goes
    pub(crate) reference: String,
}

#[derive(Debug, Args)]
pub(crate) struct Images {
    /// json or yaml
    #[arg(long, short)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Load an OCI layout folder or archive, a docker archive, or a .wasm file
    Load {
        /// The folder or file
        path: PathBuf,
        /// Reference to give it [default: the one inside, or the file's name]
        #[arg(long)]
        name: Option<String>,
    },
    /// List this host's images
    Ls(Images),
    /// Remove images
    Rm {
        /// References or digests
        #[arg(required = true)]
        references: Vec<String>,
    },
    /// Remove images without a name
    Prune {
        /// Also images with a name that no container uses
        #[arg(long, short)]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// json or yaml
    #[arg(long, short)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Only wctl's own
    #[arg(long)]
    pub(crate) client: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
