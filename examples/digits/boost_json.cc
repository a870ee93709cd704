// Boost.JSON's compiled part, so that the server needs Boost's headers only.
#include <boost/json/src.hpp>
