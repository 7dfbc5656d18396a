/**
 * Terraform with the AWS provider, unchanged: a configuration with all that people make around images is applied, finds
 * nothing to change afterwards, and leaves nothing when it is destroyed. `test/e2e/terraform.test.ts` does it on real machines.
 */
import { afterAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { useTerraform } from '../support/terraform.ts'
import { imagesVariables, leftOfTerraform } from '../support/terraform-account.ts'

const terraform = await useTerraform('images')
let kiln: RunningKiln | undefined
afterAll(() => kiln?.cleanup())

test.skipIf(terraform.missing)(`apply, no changes, destroy${terraform.note}`, async () => {
  kiln = await startKiln()
  const key = await terraform.newLoginKey()
  await terraform.apply(await imagesVariables(kiln.url, key))
  await terraform.planNothing()
  await terraform.destroy()
  expect(await leftOfTerraform(kiln.url)).toEqual([])
})
