// Every declaration of the API.
#pragma once
#include "api/account_schemas.h"
#include "api/cluster_schemas.h"
#include "api/common_schemas.h"
#include "api/deployment_schemas.h"
#include "api/plan_schemas.h"
