/**
 * Terraform with the AWS provider, unchanged: a configuration with all that people make around images is applied, finds
 * nothing to change afterwards, and leaves nothing when it is destroyed. `test/e2e/terraform.test.ts` does it on real machines.
 */
import { afterAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { leftOfTerraform, openTerraform } from '../support/terraform.ts'

const terraform = await openTerraform()
const { missing } = terraform
let kiln: RunningKiln | undefined
afterAll(async () => {
  await kiln?.cleanup()
  await terraform.remove()
})

test.skipIf(missing)(`apply, no changes, destroy${missing ? ` (skipped: Terraform: ${missing})` : ''}`, async () => {
  kiln = await startKiln()
  await terraform.apply(kiln.url)
  await terraform.planNothing()
  await terraform.destroy()
  expect(await leftOfTerraform(kiln.url)).toEqual([])
})
