// The contract on a real PostgreSQL.
#include "postgres_fixture.h"
#include "store_contract.h"

namespace berth::test {

INSTANTIATE_TYPED_TEST_SUITE_P(Postgres, StoreContract, PostgresFixture);

}  // namespace berth::test
