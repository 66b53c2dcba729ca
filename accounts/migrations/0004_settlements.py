from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_bolts'),
    ]

    operations = [
        migrations.AlterField(
            model_name='cashmovement',
            name='kind',
            field=models.CharField(choices=[('deposit', 'deposit'), ('withdrawal', 'withdrawal'), ('interest', 'interest'), ('dividend', 'dividend'), ('fee', 'fee'), ('funding', 'funding'), ('settlement', 'settlement'), ('correction', 'correction')], max_length=10),
        ),
    ]
