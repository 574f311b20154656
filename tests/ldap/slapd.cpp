// SPDX-License-Identifier: Apache-2.0
#include "ldap/slapd.hpp"

#include "core/fd.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace uidnfs::test {
namespace {

/// Attributes of other directories that slapd does not know, as far as they are looked at.
constexpr const char* kForeignSchema = R"(
attributetype ( 1.3.6.1.4.1.99999.1.1 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.2 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.3 NAME 'userAccountControl' EQUALITY integerMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.4 NAME 'accountExpires' EQUALITY integerMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.5 NAME 'nsAccountLock' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.6 NAME 'textNumber' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
)";

bool answers(std::uint16_t port) {
    const core::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

Authority::Authority() {
    run(
        {"openssl",
         "ecparam",
         "-name",
         "prime256v1",
         "-genkey",
         "-noout",
         "-out",
         folder_.path("ca.key")}
    );
    run(
        {"openssl",
         "req",
         "-x509",
         "-new",
         "-key",
         folder_.path("ca.key"),
         "-subj",
         "/CN=uidnfs test CA",
         "-days",
         "2",
         "-out",
         folder_.path("ca.pem")}
    );
}

std::string Authority::make_request(const std::string& name) const {
    run(
        {"openssl",
         "ecparam",
         "-name",
         "prime256v1",
         "-genkey",
         "-noout",
         "-out",
         folder_.path(name + ".key")}
    );
    const auto request = folder_.path(name + ".csr");
    run(
        {"openssl",
         "req",
         "-new",
         "-key",
         folder_.path(name + ".key"),
         "-subj",
         "/CN=" + name,
         "-out",
         request}
    );
    return request;
}

Authority::Certificate Authority::sign(const std::string& name, const std::string& names) const {
    const auto request = make_request(name);
    const auto extensions = folder_.write(name + ".ext", "subjectAltName=" + names + "\n");
    run(
        {"openssl",
         "x509",
         "-req",
         "-in",
         request,
         "-CA",
         folder_.path("ca.pem"),
         "-CAkey",
         folder_.path("ca.key"),
         "-CAcreateserial",
         "-days",
         "2",
         "-extfile",
         extensions,
         "-out",
         folder_.path(name + ".pem")}
    );
    return {folder_.path(name + ".pem"), folder_.path(name + ".key")};
}

Authority::Certificate Authority::sign_expired(const std::string& name, const std::string& names)
    const {
    const auto request = make_request(name);
    const auto extensions = folder_.write(name + ".ext", "subjectAltName=" + names + "\n");
    folder_.write("index.txt", "");
    folder_.write("serial", "77\n");
    const auto config = folder_.write(
        "ca.conf",
        fmt::format(
            "[ca]\ndefault_ca=c\n[c]\nnew_certs_dir={0}\ndatabase={0}/index.txt\nserial={0}/"
            "serial\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n",
            folder_.path()
        )
    );
    run(
        {"openssl",
         "ca",
         "-batch",
         "-config",
         config,
         "-in",
         request,
         "-cert",
         folder_.path("ca.pem"),
         "-keyfile",
         folder_.path("ca.key"),
         "-startdate",
         "20200101000000Z",
         "-enddate",
         "20210101000000Z",
         "-extfile",
         extensions,
         "-out",
         folder_.path(name + ".pem"),
         "-notext"}
    );
    return {folder_.path(name + ".pem"), folder_.path(name + ".key")};
}

Authority::Certificate Authority::self_signed(const std::string& name, const std::string& names)
    const {
    make_request(name);
    run(
        {"openssl",
         "req",
         "-x509",
         "-new",
         "-key",
         folder_.path(name + ".key"),
         "-subj",
         "/CN=" + name,
         "-addext",
         "subjectAltName=" + names,
         "-days",
         "2",
         "-out",
         folder_.path(name + ".pem")}
    );
    return {folder_.path(name + ".pem"), folder_.path(name + ".key")};
}

Slapd::Slapd(const Setup& setup) : port_(free_port()) {
    std::filesystem::create_directory(folder_.path("data"));
    std::string tls;
    if (!setup.certificate.file.empty()) {
        tls_port_ = free_port();
        tls = fmt::format(
            "TLSCertificateFile {}\nTLSCertificateKeyFile {}\nTLSCACertificateFile {}\n",
            setup.certificate.file,
            setup.certificate.key,
            setup.ca_file
        );
    }
    const auto schema = folder_.write("foreign.schema", kForeignSchema);
    std::string text;
    for (const auto* name : {"core", "cosine", "inetorgperson", "nis"}) {
        text += fmt::format("include /etc/ldap/schema/{}.schema\n", name);
    }
    text += fmt::format(
        R"(include {0}
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile {1}/slapd.pid
argsfile {1}/slapd.args
{2}{3}
database mdb
suffix {4}
rootdn cn=admin,{4}
rootpw admin
directory {1}/data
maxsize 33554432
dbnosync
index objectClass,uid,memberUid,member eq
{5}
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact={6} read by * none
database monitor
access to * by dn.exact=cn=admin,{4} read by * none
)",
        schema,
        folder_.path(),
        tls,
        setup.global,
        kSuffix,
        setup.database,
        kServiceDn
    );
    folder_.write("slapd.conf", text);
    const auto ldif = folder_.write("data.ldif", setup.ldif);
    // In the order of the file, without the checks that only replication needs.
    run({"slapadd", "-q", "-f", folder_.path("slapd.conf"), "-b", kSuffix, "-l", ldif});
    start();
}

void Slapd::start() {
    const auto urls = fmt::format(
        "{}{}{}",
        url(),
        tls_port_ != 0 ? fmt::format(" ldaps://127.0.0.1:{}", tls_port_) : "",
        " " + local_url()
    );
    process_ = Process(
        {"slapd", "-f", folder_.path("slapd.conf"), "-h", urls, "-d", "0"}, folder_.path("log")
    );
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!answers(port_)) {
        if (!process_.is_running()) {
            throw std::runtime_error("slapd ended: " + read_file(folder_.path("log")));
        }
        if (std::chrono::steady_clock::now() > until) throw std::runtime_error("slapd hangs");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

void Slapd::freeze() const { process_.freeze(); }
void Slapd::thaw() const { process_.signal(SIGCONT); }

std::string Slapd::url() const { return fmt::format("ldap://127.0.0.1:{}", port_); }
std::string Slapd::tls_url() const { return fmt::format("ldaps://127.0.0.1:{}", tls_port_); }

std::string Slapd::local_url() const {
    std::string escaped;
    for (const char c : folder_.path("socket")) {
        if (c == '/') {
            escaped += "%2F";
        } else {
            escaped += c;
        }
    }
    return "ldapi://" + escaped;
}

void Slapd::change(const std::string& ldif) const {
    const auto file = folder_.write("change.ldif", ldif);
    run(
        {"ldapmodify",
         "-x",
         "-H",
         url(),
         "-D",
         fmt::format("cn=admin,{}", kSuffix),
         "-w",
         "admin",
         "-f",
         file}
    );
}

std::uint64_t Slapd::operations(const std::string& kind) const {
    const auto out = folder_.path("monitor.out");
    run(
        {"sh",
         "-c",
         fmt::format(
             "ldapsearch -x -LLL -H {} -D cn=admin,{} -w admin -b cn={},cn=Operations,cn=Monitor "
             "-s base monitorOpInitiated > {}",
             url(),
             kSuffix,
             kind,
             out
         )}
    );
    const auto text = read_file(out);
    const auto at = text.find("monitorOpInitiated: ");
    if (at == std::string::npos) throw std::runtime_error("cn=monitor says nothing: " + text);
    return std::stoull(text.substr(at + 20));
}

}  // namespace uidnfs::test
