//! The rows of `networking.k8s.io`.

use super::*;
use strategy::networking;

const GROUP: &str = "networking.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(GROUP, "IngressClass", "ingressclasses", "ingressclass", networking::IngressClass)
            .cluster()
            .hash("l/iqIbDgFyQ=")
            .schema("networking.v1.IngressClass")
            .printer(table::networking::INGRESS_CLASS),
        row(GROUP, "Ingress", "ingresses", "ingress", networking::Ingress)
            .short("ing")
            .hash("39NQlfNR+bo=")
            .schema("networking.v1.Ingress")
            .printer(table::networking::INGRESS)
            .sub("status", "Ingress", READ_WRITE),
        row(GROUP, "IPAddress", "ipaddresses", "ipaddress", networking::IpAddress)
            .cluster()
            .short("ip")
            .hash("3f/plJFChNE=")
            .schema("networking.v1.IPAddress")
            .printer(table::networking::IP_ADDRESS),
        row(GROUP, "NetworkPolicy", "networkpolicies", "networkpolicy", networking::NetworkPolicy)
            .short("netpol")
            .hash("YpfwF18m1G8=")
            .schema("networking.v1.NetworkPolicy")
            .printer(table::networking::NETWORK_POLICY),
        row(GROUP, "ServiceCIDR", "servicecidrs", "servicecidr", networking::ServiceCidr)
            .cluster()
            .hash("gNLvruQhW2g=")
            .schema("networking.v1.ServiceCIDR")
            .printer(table::networking::SERVICE_CIDR)
            .sub("status", "ServiceCIDR", READ_WRITE),
    ]
}
