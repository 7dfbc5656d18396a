/**
 * Terraform with the AWS provider, unchanged: users, roles, policies and an instance with a profile are applied, nothing is
 * to be changed afterwards, and nothing is left when they are destroyed. The provider as in `terraform.test.ts`.
 */
import {
  GetAccountSummaryCommand,
  IAMClient,
  ListAccessKeysCommand,
  ListAccountAliasesCommand,
} from '@aws-sdk/client-iam'
import { afterAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { useTerraform } from '../support/terraform.ts'

const terraform = await useTerraform('identities')
let kiln: RunningKiln | undefined
afterAll(() => kiln?.cleanup())

test.skipIf(terraform.missing)(`apply, no changes, destroy${terraform.note}`, async () => {
  kiln = await startKiln({ machines: 'simulated' })
  const credentials = { accessKeyId: '123456789012', secretAccessKey: 'any' }
  const iam = new IAMClient({ endpoint: kiln.url, region: 'eu-west-1', credentials })
  const summary = async () => (await iam.send(new GetAccountSummaryCommand({}))).SummaryMap!
  try {
    await terraform.apply({ endpoint: kiln.url })
    expect(await summary()).toMatchObject({ Users: 1, Groups: 1, Roles: 1, InstanceProfiles: 1, Policies: 1 })
    const { AccessKeyMetadata: keys } = await iam.send(new ListAccessKeysCommand({ UserName: 'deploy' }))
    expect(keys!.map((key) => key.Status)).toEqual(['Active'])
    await terraform.planNothing()
    await terraform.destroy()
    expect(await summary()).toMatchObject({ Users: 0, Groups: 0, Roles: 0, InstanceProfiles: 0, Policies: 0 })
    expect((await iam.send(new ListAccountAliasesCommand({}))).AccountAliases).toEqual([])
  } finally {
    iam.destroy()
  }
})
