"""What the application role may do with roles: read them. They are written by migrations (`backoffice.roles`) alone.

Who approves is known by the names of roles and by the rights that go with them: whoever could rename a role, or take
the right to manage users away from one, could approve. People are given roles in `auth_user_groups`, which stays open.
"""

APPEND_ONLY = ("auth_group", "auth_group_permissions", "auth_permission", "django_content_type", "django_migrations")
