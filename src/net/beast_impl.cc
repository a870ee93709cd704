// The one translation unit that carries Beast's compiled parts.
#include <boost/beast/src.hpp>
