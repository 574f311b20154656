// SPDX-License-Identifier: Apache-2.0
// Share: the source of a mount in the one spelling that is compared, and SharePattern: what a rule
// says about shares. Pure; any thread.
#pragma once

#include "core/error.hpp"
#include "plugins/policy/address.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::plugins::policy {

struct Share {
    std::string host;  ///< lower case, without dot at its end; addresses as Address::text()
    std::string path;  ///< absolute, without slash at its end unless it is "/"
    std::optional<Address> address = {};  ///< when the host is one
    std::string zone = {};                ///< of an IPv6 address, without '%'

    std::string display() const;  ///< "server:/export", brackets around IPv6 addresses
};

/// `host` without brackets. EINVAL, "why not; what to do", for what has more than one meaning:
/// "//",
/// "." and ".." components, control characters, numbers that getaddrinfo(3) takes for addresses
/// ("0x7f.1", "2130706433").
core::Outcome<Share> make_share(std::string_view host, std::string_view path);

/// "server:/export" or "[address]:/export", with '*' in host and path.
///
/// In the host '*' stands for any characters but '.', at least one, and "*" alone for every host.
/// A pattern of digits and dots, or with ':', speaks of addresses and never matches a name.
/// In the path '*' stands for any characters but '/', "**" for any characters; where one is a whole
/// component it stands for at least one character. So "nas1:/exports/*" is each directory in
/// /exports, and neither /exports itself nor what is below those.
class SharePattern {
public:
    /// EINVAL with "why not; what to do".
    static core::Outcome<SharePattern> parse(std::string_view text);

    bool matches(const Share& share) const;
    bool matches_path(std::string_view path) const;

    /// Whether the host of this pattern, written out without '*', is this loopback or link-local
    /// address ("localhost" is every loopback address).
    bool names(const Address& address) const;

    const std::string& text() const noexcept { return text_; }  ///< as it was written

private:
    enum class Host { every, name, address };

    std::string text_;
    std::string host_;
    std::string path_;
    Host kind_ = Host::name;
    std::string zone_;
    std::optional<Address> address_;  ///< written out
};

}  // namespace uidnfs::plugins::policy
