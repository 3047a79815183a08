//! kubectl, where the host has one: one command after the other, as people type them.
//!
//! The commands and their outcomes were noted down against a kube-apiserver of version 1.36. What needs the
//! output of pods is tested in tests/kubectl.rs.

use std::path::Path;

use anyhow::anyhow;
use tests::clients;
use tests::cluster::Cluster;

/// Files that the commands name.
const FILES: &[(&str, &str)] = &[
    (
        "dep1.yaml",
        "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {v: one}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: test/spin:v1}]}
",
    ),
    (
        "dep2.yaml",
        "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {v: two}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: test/spin:v1}]}
",
    ),
    (
        "cm.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: ssa, labels: {tier: one}}
data: {a: '1'}
",
    ),
    (
        "cm2.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: plain, labels: {tier: one}}
data: {a: '1'}
",
    ),
    (
        "odd.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: odd}
date: {a: '1'}
",
    ),
    (
        "kz/kustomization.yaml",
        "namePrefix: kz-\nresources: [cm.yaml]\nlabels: [{pairs: {tier: one}}]\n",
    ),
    ("kz/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\n"),
];

/// `command => words of its output`, or `command !> words of its complaint` where it must fail.
const STORY: &str = r#"
version => Server Version: v1.36
get --raw /healthz => ok
create namespace wire => namespace/wire created
config set-context --current --namespace=wire => modified
get pods => No resources found in wire namespace.
get pod nosuch !> Error from server (NotFound): pods "nosuch" not found
get widgets !> the server doesn't have a resource type "widgets"
api-versions => apps/v1
cluster-info => control plane
apply -f dep1.yaml => deployment.apps/web created
apply -f dep2.yaml => deployment.apps/web configured
apply -f dep2.yaml => deployment.apps/web unchanged
apply -f dep1.yaml --dry-run=server => deployment.apps/web configured (server dry run)
apply -f dep1.yaml --dry-run=client => deployment.apps/web configured (dry run)
get deploy web --show-labels => v=two
diff -f dep1.yaml !>
apply --server-side -f cm.yaml => configmap/ssa serverside-applied
apply --server-side --force-conflicts --field-manager=me -f cm.yaml => configmap/ssa serverside-applied
diff --server-side -f cm.yaml =>
patch cm ssa --type=merge -p {"data":{"a":"2"}} => configmap/ssa patched
apply --server-side -f cm.yaml !> conflict with "kubectl-patch"
apply -k kz => configmap/kz-plain created
apply -f cm2.yaml --prune -l tier=one --prune-allowlist=core/v1/ConfigMap => configmap/kz-plain pruned
create -f cm2.yaml !> Error from server (AlreadyExists): error when creating "cm2.yaml": configmaps "plain" already exists
create -f odd.yaml !> unknown field "date"
replace -f cm2.yaml => configmap/plain replaced
replace --force -f cm2.yaml => configmap/plain replaced
create deployment d2 --image=test/spin:v1 --replicas=0 => deployment.apps/d2 created
run r2 --image=test/spin:v1 --dry-run=server => pod/r2 created (server dry run)
patch deployment web -p {"metadata":{"labels":{"x":"1"}}} => deployment.apps/web patched
patch deployment web --type=json -p [{"op":"replace","path":"/metadata/labels/x","value":"3"}] => deployment.apps/web patched
patch deployment web --type=json -p [{"op":"replace","path":"/metadata/labels/x","value":"3"}] => patched (no change)
patch deployment web --type=json -p [{"op":"remove","path":"/metadata/labels/gone"}] !> the server rejected our request due to an error in our request
scale deployment web --replicas=1 --current-replicas=3 !> Expected replicas to be 3, was 0
autoscale deployment web --min=1 --max=3 --cpu-percent=80 => horizontalpodautoscaler.autoscaling/web autoscaled
get hpa web => Deployment/web
rollout pause deployment web => deployment.apps/web paused
rollout resume deployment web => deployment.apps/web resumed
rollout restart deployment web => deployment.apps/web restarted
set image deployment/web c=test/spin:v2 => deployment.apps/web image updated
set env deployment/web A=b => deployment.apps/web env updated
set resources deployment/web --limits=cpu=1 => deployment.apps/web resource requirements updated
describe deployment web => A:
expose deployment web --port=80 => service/web exposed
label cm plain a=b => configmap/plain labeled
label cm plain a=c !> 'a' already has a value (b), and --overwrite is false
label cm plain a=c --overwrite => configmap/plain labeled
label cm plain a- => configmap/plain unlabeled
annotate cm plain n=1 => configmap/plain annotated
explain pod.spec.containers => ContainerPort
explain deployment --recursive => progressDeadlineSeconds
explain deployment.spec.strategy => How old pods are replaced by new ones.
explain widgets !> the server doesn't have a resource type "widgets"
top pod =>
top node => MEMORY(bytes)
auth can-i create pods => yes
auth can-i --list => *.*
auth whoami => system:masters
create serviceaccount sa1 => serviceaccount/sa1 created
auth can-i get pods --as=system:serviceaccount:wire:sa1 !>
create role ro --verb=get --resource=pods => role.rbac.authorization.k8s.io/ro created
create rolebinding rb --role=ro --serviceaccount=wire:sa1 => rolebinding.rbac.authorization.k8s.io/rb created
auth can-i get pods --as=system:serviceaccount:wire:sa1 => yes
create clusterrole wcr --verb=get --resource=pods => clusterrole.rbac.authorization.k8s.io/wcr created
create clusterrolebinding wcrb --clusterrole=wcr --user=x => clusterrolebinding.rbac.authorization.k8s.io/wcrb created
create token sa1 => .
create secret generic s1 --from-literal=a=b => secret/s1 created
create secret docker-registry s2 --docker-server=x --docker-username=u --docker-password=p => secret/s2 created
create configmap c1 --from-literal=a=b => configmap/c1 created
create job j1 --image=test/spin:v1 => job.batch/j1 created
create cronjob cj --image=test/spin:v1 --schedule=0/5_*_*_*_* => cronjob.batch/cj created
create job j2 --from=cronjob/cj => job.batch/j2 created
create ingress ing --rule=a.b/=web:80 => ingress.networking.k8s.io/ing created
create quota qq --hard=pods=100 => resourcequota/qq created
create pdb pdb1 --selector=app=zz --min-available=1 => poddisruptionbudget.policy/pdb1 created
create priorityclass wpc --value=10 => priorityclass.scheduling.k8s.io/wpc created
create service clusterip sc --tcp=80:80 => service/sc created
get all => deployment.apps/web
get cm,secrets,sa,roles,rolebindings,jobs,cronjobs,ing,quota,pdb -o name => cronjob.batch/cj
wait --for=create cm/c1 --timeout=90s => configmap/c1 condition met
wait --for=delete cm/nosuch --timeout=90s =>
delete -f dep1.yaml --cascade=orphan => deployment.apps "web" deleted
delete clusterrole,clusterrolebinding,priorityclass wcr !> not found
delete ns wire => namespace "wire" deleted
"#;

#[test]
fn kubectl_commands() {
    let cluster = Cluster::start().unwrap();
    if cluster.kubectl().is_none() {
        return clients::absent("kubectl", &anyhow!("there is none on this machine"));
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in FILES {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let lines = STORY.lines().filter(|line| !line.is_empty());
    let wrong: Vec<String> =
        lines.filter_map(|line| run(&cluster, folder.path(), line).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs one line of the story; what is wrong with its outcome.
fn run(cluster: &Cluster, folder: &Path, line: &str) -> Result<(), String> {
    let refused = line.contains(" !>");
    let (words, wanted) = line.split_once(if refused { " !>" } else { " =>" }).unwrap();
    let mut command = cluster.kubectl().expect("there was one at the start");
    // An underscore stands for a space within an argument.
    command.args(words.split(' ').map(|word| {
        if word.starts_with("--schedule") { word.replace('_', " ") } else { word.to_owned() }
    }));
    let output = command.current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if output.status.success() != refused && said.contains(wanted.trim()) {
        return Ok(());
    }
    Err(format!("kubectl {words}: {}, wanted {wanted:?}:\n{said}", output.status))
}
