/** A user's key and a role's session on a daemon that verifies signatures: they are good after it was killed, too. */
import { CreateAccessKeyCommand, CreateRoleCommand, CreateUserCommand, IAMClient } from '@aws-sdk/client-iam'
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { afterAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import type { Credentials } from '../support/served-cloud.ts'

const account = '123456789012'
let kiln: RunningKiln | undefined
afterAll(() => kiln?.cleanup())

test('keys that were issued outlive the daemon', async () => {
  kiln = await startKiln({ machines: 'simulated', auth: 'verify' })
  const { id, secret } = JSON.parse(await kiln.command('key', 'create', '--account', account, '--json'))
  const settings = (credentials: Credentials) => ({ endpoint: kiln!.url, region: 'eu-west-1', credentials })
  const iam = new IAMClient(settings({ accessKeyId: id, secretAccessKey: secret }))
  const arnOf = async (credentials: Credentials) => {
    const sts = new STSClient(settings(credentials))
    return (await sts.send(new GetCallerIdentityCommand({})).finally(() => sts.destroy())).Arn
  }

  const { User: user } = await iam.send(new CreateUserCommand({ UserName: 'ann' }))
  const { AccessKey: key } = await iam.send(new CreateAccessKeyCommand({ UserName: 'ann' }))
  const ann = { accessKeyId: key!.AccessKeyId!, secretAccessKey: key!.SecretAccessKey! }
  const statement = { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { AWS: user!.Arn } }
  const trust = JSON.stringify({ Version: '2012-10-17', Statement: statement })
  const { Role: role } = await iam.send(new CreateRoleCommand({ RoleName: 'web', AssumeRolePolicyDocument: trust }))
  iam.destroy()
  const sts = new STSClient(settings(ann))
  const assume = new AssumeRoleCommand({ RoleArn: role!.Arn, RoleSessionName: 'job' })
  const { Credentials: given } = await sts.send(assume).finally(() => sts.destroy())
  const { AccessKeyId, SecretAccessKey, SessionToken } = given!
  const session = { accessKeyId: AccessKeyId!, secretAccessKey: SecretAccessKey!, sessionToken: SessionToken! }

  await kiln.kill9()
  await kiln.restart()
  expect(await arnOf(ann)).toBe(user!.Arn)
  expect(await arnOf(session)).toBe(`arn:aws:sts::${account}:assumed-role/web/job`)
})
