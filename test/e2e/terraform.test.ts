/** Terraform on real machines: what `test/daemon/terraform.test.ts` does, and a provisioner finds over SSH what user data wrote. */
import { afterAll, expect, test } from 'vitest'
import { presenceOf } from '../../src/cli/leftovers.ts'
import { homeAt } from '../../src/lib/home.ts'
import { useTerraform } from '../support/terraform.ts'
import { imagesVariables, leftOfTerraform } from '../support/terraform-account.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const terraform = await useTerraform('images')
let kiln: RunningKiln | undefined
afterAll(() => kiln?.cleanup())

/** Terraform and three guests share the processors. */
const timeout = 900_000
const title = 'apply with a provisioner that logs in, no changes, destroy'
test.skipIf(terraform.missing)(`${title}${terraform.note}`, { timeout }, async () => {
  kiln = await startKiln({ machines: 'qemu' })
  const guests = () => {
    const { processes, namespaces } = presenceOf(homeAt(kiln!.home))
    return { machines: processes.filter(({ command }) => command.includes('qemu-system')).length, namespaces }
  }
  const key = await terraform.newLoginKey()
  await terraform.apply({ ...(await imagesVariables(kiln.url, key)), private_key_file: key.privateKeyFile })
  expect(guests().machines).toBe(3)
  await terraform.planNothing()
  await terraform.destroy()
  expect(await leftOfTerraform(kiln.url)).toEqual([])
  await expect.poll(guests, { timeout: 30_000 }).toEqual({ machines: 0, namespaces: [] })
})
