// SPDX-License-Identifier: Apache-2.0
#include "plugins/cloudfoundry/spec_file.hpp"

#include "core/fd.hpp"
#include "plugins/core/driver_call.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::plugins::cloudfoundry {
namespace {

core::Failure refuse(std::string text) { return {EINVAL, std::move(text)}; }

/// 0 or an errno.
int make_directories(const std::string& path) {
    for (auto slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
        if (::mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) return errno;
        if (slash == std::string::npos) return 0;
    }
}

int write_file(const std::string& path, const std::string& text) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno;
    const core::Fd fd(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644)
    );
    if (!fd) return errno;
    if (::fchmod(fd.get(), 0644) != 0) return errno;  // whatever the umask is: rep is another user
    const auto written = ::write(fd.get(), text.data(), text.size());
    if (written < 0) return errno;
    if (static_cast<std::size_t>(written) != text.size()) return EIO;
    return ::fsync(fd.get()) == 0 ? 0 : errno;
}

}  // namespace

core::Outcome<void> check_endpoint(const Endpoint& endpoint) {
    const auto& name = endpoint.driver_name;
    const bool is_name = !name.empty() && name.size() < 128 && name.front() != '.' &&
                         std::all_of(name.begin(), name.end(), [](char c) {
                             return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                                    (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';
                         });
    if (!is_name) {
        return refuse(
            "plugin.cloudfoundry.driver_name is no name of a file; use letters, digits, '.', '-' "
            "and '_'"
        );
    }
    const std::string* files[] = {
        &endpoint.ca_file,
        &endpoint.cert_file,
        &endpoint.key_file,
        &endpoint.client_cert_file,
        &endpoint.client_key_file};
    const auto set = std::count_if(std::begin(files), std::end(files), [](const auto* file) {
        return !file->empty();
    });
    if (set != 0 && set != std::ssize(files)) {
        return refuse(
            "plugin.cloudfoundry.tls is incomplete; set ca_file, cert_file, key_file, "
            "client_cert_file and client_key_file, or none of them"
        );
    }
    if (set == 0 && endpoint.insecure == Endpoint::Insecure::refused) {
        return refuse(
            "plugin.cloudfoundry has no tls: any process on this host could mount as anyone; set "
            "tls, or insecure = true to accept that"
        );
    }
    return {};
}

std::string spec_text(const Endpoint& endpoint, const std::string& address) {
    // Who listens everywhere is reached on this host.
    auto reachable = address;
    if (address.starts_with("0.0.0.0:")) reachable = "127.0.0.1" + address.substr(7);
    if (address.starts_with("[::]:")) reachable = "[::1]" + address.substr(4);
    std::string tls = "null";
    if (endpoint.has_tls()) {
        tls = fmt::format(
            R"({{"InsecureSkipVerify":false,"CAFile":{},"CertFile":{},"KeyFile":{}}})",
            json_string(endpoint.ca_file),
            json_string(endpoint.client_cert_file),
            json_string(endpoint.client_key_file)
        );
    }
    return fmt::format(
        R"({{"Name":{},"Addr":{},"TLSConfig":{},"UniqueVolumeIds":true}})",
        json_string(endpoint.driver_name),
        json_string(fmt::format("{}://{}", endpoint.has_tls() ? "https" : "http", reachable)),
        tls
    );
}

SpecFile::SpecFile(std::string path) noexcept : path_(std::move(path)) {}

SpecFile::SpecFile(SpecFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}

SpecFile::~SpecFile() { remove(); }

void SpecFile::remove() noexcept {
    if (!path_.empty()) ::unlink(path_.c_str());
    path_.clear();
}

core::Outcome<SpecFile> SpecFile::write(const Endpoint& endpoint, const std::string& address) {
    const auto& directory = endpoint.drivers_path;
    const auto path = fmt::format("{}/{}.json", directory, endpoint.driver_name);
    // volman looks at *.json, *.spec and *.sock.
    const auto temporary = fmt::format("{}/.{}.new", directory, endpoint.driver_name);
    int code = make_directories(directory);
    if (code == 0) code = write_file(temporary, spec_text(endpoint, address));
    if (code == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) code = errno;
    if (code == 0) return SpecFile(path);
    ::unlink(temporary.c_str());
    return core::Failure{
        code,
        fmt::format(
            "cannot write the driver's spec file {}: {}; check plugin.cloudfoundry.drivers_path",
            path,
            strerrordesc_np(code)
        )};
}

}  // namespace uidnfs::plugins::cloudfoundry
