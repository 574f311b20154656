// SPDX-License-Identifier: Apache-2.0
// Boost.JSON, compiled once for the volume daemon.
#include <boost/json/src.hpp>
