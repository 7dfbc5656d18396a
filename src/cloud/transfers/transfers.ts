/** Images and snapshots that come from elsewhere and go there: the parts, put together. */
import type { Buckets } from '../buckets/buckets.ts'
import type { Objects } from '../buckets/objects.ts'
import type { CloudDeps } from '../deps.ts'
import type { Encryption } from '../encryption/encryption.ts'
import type { Images } from '../images/images.ts'
import type { Regions } from '../regions/regions.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { Exports } from './exports.ts'
import { importOperation } from './import-operation.ts'
import { Imports } from './imports.ts'
import { Staging } from './staging.ts'
import { TransferRuns } from './transfer-runs.ts'
import { TransferTasks } from './transfer-tasks.ts'
import { Uploads } from './uploads.ts'

export class Transfers {
  readonly imports: Imports
  readonly exports: Exports
  readonly tasks: TransferTasks
  readonly uploads: Uploads

  constructor(
    deps: CloudDeps,
    parts: {
      buckets: Buckets
      objects: Objects
      images: Images
      snapshots: Snapshots
      encryption: Encryption
      regions: Regions
    },
  ) {
    const staging = new Staging(deps.transfersDir)
    const runs = new TransferRuns(deps, staging)
    this.uploads = new Uploads(deps, staging)
    this.tasks = new TransferTasks(deps, staging, runs)
    this.imports = new Imports(deps, { ...parts, uploads: this.uploads })
    this.exports = new Exports({ deps, ...parts, staging, runs })
    deps.operations.register(importOperation({ deps, ...parts, staging, uploads: this.uploads, runs }))
  }
}
