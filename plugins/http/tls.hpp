// SPDX-License-Identifier: Apache-2.0
// Mutual TLS for TCP listeners: at least version 1.2, and no client without a certificate of the
// configured authority.
#pragma once

#include "core/error.hpp"
#include "plugins/http/stream.hpp"

#include <memory>
#include <string>

namespace uidnfs::plugins::http {

struct TlsFiles {
    std::string ca_file;    ///< PEM; whose client certificates are accepted
    std::string cert_file;  ///< PEM; ours, and what is between it and the authority
    std::string key_file;   ///< PEM
};

/// Reads all files now. EINVAL with a text that names the file and what is wrong with it.
core::Outcome<std::shared_ptr<TlsContext>> make_tls_context(const TlsFiles& files);

}  // namespace uidnfs::plugins::http
