/**
 * Terraform with the AWS provider, unchanged: networks with all that is in them, fleets and spot instances are applied,
 * nothing is to be changed afterwards, and nothing is left when they are destroyed. The provider as in `terraform.test.ts`.
 */
import { afterAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { useTerraform } from '../support/terraform.ts'
import { leftOfTerraform } from '../support/terraform-account.ts'

const terraform = await useTerraform('networks')
let kiln: RunningKiln | undefined
afterAll(() => kiln?.cleanup())

test.skipIf(terraform.missing)(`apply, no changes, destroy${terraform.note}`, async () => {
  kiln = await startKiln()
  const key = await terraform.newLoginKey()
  await terraform.apply({ endpoint: kiln.url, public_key: key.publicKey })
  await terraform.planNothing()
  await terraform.destroy()
  expect(await leftOfTerraform(kiln.url)).toEqual([])
})
