/**
 * Terraform with the AWS provider, unchanged: networks with all that is in them, fleets and spot instances are applied,
 * nothing is to be changed afterwards, and nothing is left when they are destroyed. The provider as in `terraform.test.ts`.
 */
import { afterAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { openTerraform } from '../support/terraform.ts'
import { leftOfTerraform, newLoginKey } from '../support/terraform-account.ts'

const terraform = await openTerraform('networks')
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
    await terraform.apply({ endpoint: kiln.url, public_key: key.publicKey })
    await terraform.planNothing()
    await terraform.destroy()
    expect(await leftOfTerraform(kiln.url)).toEqual([])
  } finally {
    await key.remove()
  }
})
