/**
 * Terraform with the AWS provider, unchanged: a configuration with all that people make around images is applied, finds
 * nothing to change afterwards, and leaves nothing when it is destroyed. `test/e2e/terraform.test.ts` does it on real machines.
 */
import { afterAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { openTerraform } from '../support/terraform.ts'
import { imagesVariables, leftOfTerraform, newLoginKey } from '../support/terraform-account.ts'

const terraform = await openTerraform('images')
const { missing } = terraform
let kiln: RunningKiln | undefined
afterAll(async () => {
  await kiln?.cleanup()
  await terraform.remove()
})

test.skipIf(missing)(`apply, no changes, destroy${missing ? ` (skipped: Terraform: ${missing})` : ''}`, async () => {
  kiln = await startKiln()
  const key = await newLoginKey()
  try {
    await terraform.apply(await imagesVariables(kiln.url, key))
    await terraform.planNothing()
    await terraform.destroy()
    expect(await leftOfTerraform(kiln.url)).toEqual([])
  } finally {
    await key.remove()
  }
})
