/** The account that owns the public images, as `amazon` on EC2. */
export const publicOwner = { accountId: '137112412989', alias: 'amazon' } as const
