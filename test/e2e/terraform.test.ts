/** Terraform on real machines: what `test/daemon/terraform.test.ts` does, and a provisioner finds over SSH what user data wrote. */
import { afterAll, expect, test } from 'vitest'
import { presenceOf } from '../../src/cli/leftovers.ts'
import { homeAt } from '../../src/lib/home.ts'
import { leftOfTerraform, openTerraform } from '../support/terraform.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const terraform = await openTerraform()
const { missing } = terraform
let kiln: RunningKiln | undefined
afterAll(async () => {
  await kiln?.cleanup()
  await terraform.remove()
})

/** Terraform and two guests share the processors. */
const timeout = 900_000
const title = 'apply with a provisioner that logs in, no changes, destroy'
test.skipIf(missing)(`${title}${missing ? ` (skipped: Terraform: ${missing})` : ''}`, { timeout }, async () => {
  kiln = await startKiln({ machines: 'qemu' })
  const guests = () => {
    const { processes, namespaces } = presenceOf(homeAt(kiln!.home))
    return { machines: processes.filter(({ command }) => command.includes('qemu-system')).length, namespaces }
  }
  await terraform.apply(kiln.url, { hasLogin: true })
  expect(guests().machines).toBe(2)
  await terraform.planNothing()
  await terraform.destroy()
  expect(await leftOfTerraform(kiln.url)).toEqual([])
  await expect.poll(guests, { timeout: 30_000 }).toEqual({ machines: 0, namespaces: [] })
})
