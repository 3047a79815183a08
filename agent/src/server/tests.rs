//! The endpoint's certificate.

use apiserver::pki::Authority;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;

/// The certificate that the endpoint presents to the API server.
async fn presented(server: &Server, authority: &Authority) -> Vec<u8> {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der(authority.ca_pem())).unwrap();
    let own = authority.client("kube-apiserver-kubelet-client", None).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![der(&own.certificate_pem)], key)
        .unwrap();
    let connect = async {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
    };
    let accept = async {
        let (tcp, _) = server.listener.accept().await.unwrap();
        server.acceptor.accept(tcp).await.unwrap()
    };
    let (client, _server) = tokio::join!(connect, accept);
    client.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_presented() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let make = || {
        let identity = authority.node("n", &["127.0.0.1".to_owned()]).unwrap();
        let tls = ServingTls {
            certificate_pem: identity.certificate_pem.clone(),
            key_pem: identity.key_pem,
            client_ca_pem: authority.ca_pem().to_owned(),
        };
        let der = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
        (tls, der.to_vec())
    };
    let ((first, first_der), (second, second_der)) = (make(), make());
    let (renew, tls) = watch::channel(first);
    let mut server = Server::bind(([127, 0, 0, 1], 0).into(), tls).await.unwrap();
    assert_eq!(presented(&server, &authority).await, first_der);
    renew.send_replace(second.clone());
    server.renew();
    assert_eq!(presented(&server, &authority).await, second_der);
    // What cannot be used changes nothing, and neither does a renewal that has ended.
    renew.send_replace(ServingTls { key_pem: String::new(), ..second });
    server.renew();
    drop(renew);
    server.renew();
    assert_eq!(presented(&server, &authority).await, second_der);
}
