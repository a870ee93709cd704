// The one translation unit that carries Asio's compiled parts.
#include <boost/asio/impl/src.hpp>
