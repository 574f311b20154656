// SPDX-License-Identifier: Apache-2.0
// RequestReader: bytes in, requests out, with limits; Boost.Beast's parser behind it. No I/O, no
// clock. Owned by one session.
#pragma once

#include "plugins/http/message.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace uidnfs::plugins::http {

class RequestReader {
public:
    enum class Progress : std::uint8_t {
        idle,    ///< between requests
        header,  ///< the first bytes of one are there
        body,    ///< its header is
        ready,   ///< take() it
        failed,  ///< status() says why; nothing more can be understood
    };

    explicit RequestReader(MessageLimits limits);
    ~RequestReader();
    RequestReader(RequestReader&&) noexcept;

    /// While ready the bytes are kept for the request after it; after failed they are dropped.
    Progress feed(std::string_view bytes);
    Progress progress() const noexcept;
    /// REQUIRES: ready. Goes on with what was fed already.
    Request take();
    /// 400, 413, 431 or 505, after failed.
    unsigned status() const noexcept;
    /// The client waits for "100 Continue" before it sends the body; true once per request.
    bool take_expectation() noexcept;
    /// Bytes that were fed and not yet used.
    std::size_t kept() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace uidnfs::plugins::http
