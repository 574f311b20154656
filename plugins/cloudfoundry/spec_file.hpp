// SPDX-License-Identifier: Apache-2.0
// How volman finds the driver: DRIVERS_PATH/DRIVER_NAME.json, scanned every 30 s. It appears when
// the driver serves and goes before it drains. Blocking, for a small local file.
#pragma once

#include "core/error.hpp"

#include <optional>
#include <string>

namespace uidnfs::plugins::cloudfoundry {

/// [plugin.cloudfoundry], as far as connections are concerned.
struct Endpoint {
    enum class Insecure { refused, accepted };

    std::string listen = "127.0.0.1:7589";
    std::string driver_name = "nfsv3driver";
    std::string drivers_path = "/var/vcap/data/voldrivers";
    std::string ca_file = {};
    std::string cert_file = {};
    std::string key_file = {};
    std::string client_cert_file = {};  ///< for volman, which finds them in the spec file
    std::string client_key_file = {};
    Insecure insecure = Insecure::refused;

    bool has_tls() const noexcept { return !ca_file.empty(); }
};

/// EINVAL, "why not; what to do": without TLS any local process could mount as anyone, so that has
/// to be accepted by name; half of TLS is none; the name becomes a file's name.
core::Outcome<void> check_endpoint(const Endpoint& endpoint);

/// What volman reads; `address` is where we listen. Pure.
std::string spec_text(const Endpoint& endpoint, const std::string& address);

/// Owns the file: it is written whole, readable for rep, and removed when this dies or drains.
class SpecFile {
public:
    static core::Outcome<SpecFile> write(const Endpoint& endpoint, const std::string& address);

    SpecFile(SpecFile&& other) noexcept;
    SpecFile& operator=(SpecFile&&) = delete;
    ~SpecFile();

    /// From now on volman finds this driver no more; again is harmless.
    void remove() noexcept;

private:
    explicit SpecFile(std::string path) noexcept;

    std::string path_;
};

}  // namespace uidnfs::plugins::cloudfoundry
